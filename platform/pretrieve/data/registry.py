"""Find image sets by name: registered in this process, by an installed package, or in a user's module."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path
from typing import TypeVar

from pretrieve.artifacts.keys import content_key
from pretrieve.data.image_set import ImageSet
from pretrieve.data.stored_set import load_stored_set, save_image_set
from pretrieve.errors import ImageSetError, nearest_word
from pretrieve.import_by_name import declares, find_attribute, import_module_of

ENTRY_POINT_GROUP = "pretrieve.targets"

MakeImageSet = Callable[[], ImageSet]
_MakeT = TypeVar("_MakeT", bound=MakeImageSet)

_registered: dict[str, MakeImageSet] = {}
_VERSION = "__pretrieve_version__"


def register_target(name: str, *, version: str | None = None) -> Callable[[_MakeT], _MakeT]:
    """Register a function that makes an image set under a name that studies can use.

    Args:
      name: the word that a study's `targets` or `source` names.
      version: where given, the set is stored in the study's cache under this version and made once; change it when
        the function makes other images. Without it the function runs at every start of a study.

    >>> @register_target("squares")
    ... def squares() -> ImageSet: ...
    >>> "squares" in registered_names()
    True
    """

    def register(make: _MakeT) -> _MakeT:
        _registered[name] = make
        if version is not None:
            setattr(make, _VERSION, version)
        return make

    return register


def registered_names() -> list[str]:
    """List the names a study can use, those of installed packages included, sorted."""
    return sorted({*_registered, *(point.name for point in entry_points(group=ENTRY_POINT_GROUP))})


def find_image_set(reference: str, *, cache: Path) -> ImageSet:
    """Make, or read from the cache, the image set that a study refers to.

    Args:
      reference: a registered name, or `my_module:my_target`: a function that is registered, or annotated to return an
        `ImageSet`.
      cache: folder for the sets that were registered with a version.

    Raises:
      ImageSetError: nothing has that name, its module or function is missing, it does not declare what it returns, or
        it returned something else.
    """
    make = _find_function(reference)
    version = getattr(make, _VERSION, None)
    if version is None:
        return _checked(make(), reference)
    try:
        source = inspect.getsource(make)  # part of the key, so that a changed function makes its set anew
    except (OSError, TypeError):  # typed at a prompt, or no plain function
        source = None
    folder = cache / content_key(reference=reference, version=version, source=source)
    stored = load_stored_set(folder)
    if stored is None:
        stored = _checked(make(), reference)
        save_image_set(stored, folder)
    return stored


def _find_function(reference: str) -> MakeImageSet:
    if ":" in reference:
        return _import_function(reference)
    if reference not in _registered:
        for point in entry_points(group=ENTRY_POINT_GROUP, name=reference):
            make: MakeImageSet = point.load()
            return make
        names = registered_names()
        raise ImageSetError(
            f"an image set's name must be registered, but {reference!r} is not; known: {', '.join(names)}."
            f"{nearest_word(reference, names)}"
        )
    return _registered[reference]


def _import_function(reference: str) -> MakeImageSet:
    module = import_module_of(reference, noun="an image set", word="function", error=ImageSetError)
    make: MakeImageSet = find_attribute(
        module, reference.partition(":")[2], word="function", accepts=callable, error=ImageSetError
    )
    is_registered = any(make is registered for registered in _registered.values())
    if not is_registered and not declares(make, ImageSet):
        raise ImageSetError(
            f"{reference!r} must be a function that is registered, or declares to return a pretrieve ImageSet, but is "
            f"a {type(make).__name__} that does neither, and was not called; annotate it `-> pt.ImageSet`, or put "
            "@pt.register_target before it"
        )
    return make


def _checked(made: object, reference: str) -> ImageSet:
    if not isinstance(made, ImageSet):
        raise ImageSetError(
            f"{reference!r} must return a pretrieve ImageSet, but returned {type(made).__name__}; "
            "see pretrieve.image_set_from_arrays and pretrieve.load_folder_tree"
        )
    return made
