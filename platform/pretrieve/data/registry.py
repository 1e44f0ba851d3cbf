"""Find image sets by name: registered in this process, by an installed package, or in a user's module."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from pretrieve.artifacts.keys import content_key
from pretrieve.artifacts.sealed_files import is_kept, read_sealed, read_sealed_json, sealing, write_sealed_json
from pretrieve.components import TARGETS
from pretrieve.data.image_set import ImageSet
from pretrieve.errors import ImageSetError

MakeImageSet = Callable[[], ImageSet]
_MakeT = TypeVar("_MakeT", bound=MakeImageSet)

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
        TARGETS.register(name, make)
        if version is not None:
            setattr(make, _VERSION, version)
        return make

    return register


def registered_names() -> list[str]:
    """List the names a study can use, those of installed packages included, sorted."""
    return TARGETS.words()


def find_image_set(reference: str, *, cache: Path) -> ImageSet:
    """Make, or read from the cache, the image set that a study refers to.

    The reference is a registered name, or `my_module:my_target`: a function that is registered, or annotated to return
    an `ImageSet`. `cache` is the folder for the sets that were registered with a version.

    Raises:
      ImageSetError: nothing has that name, its module or function is missing, it does not declare what it returns, or
        it returned something else.
    """
    make: MakeImageSet = TARGETS.find(reference)
    version, folder = getattr(make, _VERSION, None), None
    if version is not None and (origin := _origin_of(make)) is not None:
        folder = cache / content_key(reference=reference, version=version, origin=origin)
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


def _origin_of(make: MakeImageSet) -> dict[str, str] | None:
    """Return the file of a function and its content; None for one typed at a prompt, which is called each time.

    They are part of the key, so that a changed function makes its set again, and a function of the same name in another
    project, which may call or read what lies beside it, makes its own.
    """
    code = make.func if isinstance(make, partial) else make if inspect.isroutine(make) else type(make)
    try:
        file = Path(inspect.getsourcefile(code) or "").resolve()
        return {"file": str(file), "source": inspect.getsource(code), "content": file.read_text(encoding="utf-8")}
    except (OSError, TypeError, UnicodeDecodeError):
        return None


def save_image_set(image_set: ImageSet, folder: Path) -> None:
    """Write an image set; the card comes last, so that a folder without one is unfinished."""
    for split, table in image_set.splits.items():
        with sealing(folder / f"{split}.parquet") as temporary:
            pq.write_table(table, temporary, compression="none")  # PNG and JPEG do not shrink further
    card = {field: getattr(image_set, field) for field in ("name", "class_names", "metric", "further_metrics")}
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
    tuples = {name: tuple(value) for name, value in card.items() if isinstance(value, list)}
    return ImageSet(**{**card, **tuples, "splits": splits})
