"""Find image sets by name: registered in this process, by an installed package, or in a user's module."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path
from typing import TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from pretrieve.artifacts.keys import content_key
from pretrieve.artifacts.sealed_files import is_kept, read_sealed, read_sealed_json, sealing, write_sealed_json
from pretrieve.data.image_set import ImageSet
from pretrieve.errors import ImageSetError, nearest_word
from pretrieve.import_by_name import declares, find_attribute, import_module_of

ENTRY_POINT_GROUP = "pretrieve.targets"

MakeImageSet = Callable[[], ImageSet]
_MakeT = TypeVar("_MakeT", bound=MakeImageSet)

_registered: dict[str, MakeImageSet] = {}
_VERSION = "__pretrieve_version__"
CARD = "card.json"


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

    The reference is a registered name, or `my_module:my_target`: a function that is registered, or annotated to return
    an `ImageSet`. `cache` is the folder for the sets that were registered with a version.

    Raises:
      ImageSetError: nothing has that name, its module or function is missing, it does not declare what it returns, or
        it returned something else.
    """
    make = _find_function(reference)
    version, folder = getattr(make, _VERSION, None), None
    if version is not None:
        try:
            source = inspect.getsource(make)  # part of the key, so that a changed function makes its set again
        except (OSError, TypeError):  # typed at a prompt, or no plain function
            source = None
        folder = cache / content_key(reference=reference, version=version, source=source)
        stored = load_stored_set(folder)
        if stored is not None:
            return stored
    made: object = make()
    if not isinstance(made, ImageSet):
        raise ImageSetError(
            f"{reference!r} must return a pretrieve ImageSet, but returned {type(made).__name__}; "
            "see pretrieve.image_set_from_arrays and pretrieve.load_folder_tree"
        )
    if folder is not None:
        save_image_set(made, folder)
    return made


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


def save_image_set(image_set: ImageSet, folder: Path) -> None:
    """Write an image set; the card comes last, so that a folder without one is unfinished."""
    for split, table in image_set.splits.items():
        with sealing(folder / f"{split}.parquet") as temporary:
            pq.write_table(table, temporary, compression="none")  # PNG and JPEG do not shrink further
    card = {field: getattr(image_set, field) for field in ("name", "class_names", "metric")}
    write_sealed_json(folder / CARD, {**card, "fingerprints": dict(image_set.fingerprints)})


def load_stored_set(folder: Path) -> ImageSet | None:
    """Read an image set written by `save_image_set`; None where it is missing, unfinished or damaged."""
    if not is_kept(folder / CARD):
        return None
    card = read_sealed_json(folder / CARD)
    paths = {split: folder / f"{split}.parquet" for split in card["fingerprints"]}
    if not all(is_kept(path) for path in paths.values()):
        return None
    splits = {split: pq.read_table(pa.BufferReader(read_sealed(path))) for split, path in paths.items()}
    return ImageSet(**{**card, "class_names": tuple(card["class_names"]), "splits": splits})
