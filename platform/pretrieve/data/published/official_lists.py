"""Read the lists that publishers write: text or MATLAB files that name images, their classes and their splits."""

from __future__ import annotations

import warnings
import zlib
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scipy.io import loadmat
from scipy.io.matlab import MatReadError

from pretrieve.data.image_set import ImageSet, image_set_of_tables
from pretrieve.data.image_table import table_of_files
from pretrieve.data.published._base import PublishedSet
from pretrieve.errors import ImageSetError, nearest_word

UNREADABLE = (IndexError, MatReadError, NotImplementedError, OSError, TypeError, ValueError, Warning, zlib.error)
"""What SciPy raises for a file that is broken, cut off, or of MATLAB's version 7.3."""

NUM_NAMED = 3  # missing images that a message names


@dataclass(frozen=True)
class ListedImages:
    """One split as the file `origin` lists it: N images, which need not exist yet, and the class of each.

    A class is a number counted from 1, or a word.
    """

    origin: Path
    paths: Sequence[Path]
    classes: Sequence[int | str]


def read_rows(path: Path, num_columns: int) -> list[list[str]]:
    """Read the words of each non-empty line; the last of `num_columns` words may hold spaces, fewer are an error."""
    _check_is_there(path)
    rows = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        row = line.strip().split(maxsplit=num_columns - 1)
        if row and len(row) < num_columns:
            raise ImageSetError(
                f"each line of {path} must have {num_columns} words, but line {number} is {line!r}; "
                "unpack its archive again"
            )
        rows += [row] if row else []
    return rows


def read_lines(path: Path) -> list[str]:
    """Read a text file of one name a line; a name may hold spaces."""
    return [name for (name,) in read_rows(path, 1)]


def read_matlab(path: Path, *variables: str) -> list[Any]:
    """Read arrays, cells or structures of a `.mat` file of version 7 or earlier; nothing in the file is run.

    Each name gives a flattened NumPy array; the elements of cells and the fields of structures are arrays themselves. A
    file that is missing, cannot be read or lacks a name raises an ImageSetError.
    """
    _check_is_there(path)
    try:
        with warnings.catch_warnings():
            # SciPy would put its message in the place of the array.
            warnings.filterwarnings("error", message="Unreadable variable")
            contents = loadmat(path, variable_names=list(variables))
    except UNREADABLE as error:
        raise ImageSetError(f"{path} must be a MATLAB file, but: {error}; unpack its archive again") from error
    missing = [variable for variable in variables if variable not in contents]
    if missing:
        raise ImageSetError(f"{path} must hold {missing[0]!r}, but does not; unpack its archive again")
    return [contents[variable].ravel() for variable in variables]


def read_number(word: str, path: Path) -> int:
    """Read a whole number of a list; any other word raises an ImageSetError."""
    try:
        return int(word)
    except ValueError:
        raise ImageSetError(
            f"{path} must have a whole number where it has {word!r}; unpack its archive again"
        ) from None


def numbered_names(images: ListedImages, names: Sequence[str]) -> dict[int, str]:
    """Collect the names of the classes 1 … K from those of N images; contradictions and gaps raise an ImageSetError."""
    name_of: dict[int, str] = {}
    number_of: dict[str, int] = {}
    for path, listed, name in zip(images.paths, images.classes, names, strict=True):
        number = int(listed)
        if name_of.setdefault(number, name) != name or number_of.setdefault(name, number) != number:
            raise ImageSetError(
                f"each label of {images.origin} must mean one class, but {path.name} has {number} for {name!r}, "
                "unlike an image before it; unpack its archive again"
            )
    for expected, number in enumerate(sorted(name_of), start=1):
        if number != expected:
            raise ImageSetError(
                f"labels of {images.origin} must count from 1 without a gap, but {number} is where {expected} "
                "should be; unpack its archive again"
            )
    return dict(sorted(name_of.items()))


class ListedSet(PublishedSet):
    """A set whose classes and splits come from its publisher's lists.

    A list that is missing or malformed raises an ImageSetError.
    """

    @abstractmethod
    def listed(self, root: Path, split: str) -> ListedImages:
        """Read the list of a split below the root."""

    @abstractmethod
    def class_names(self, root: Path, train: ListedImages) -> Mapping[Any, str]:
        """Return the K class names by what the lists call each class, in the order of the labels."""

    def read(self, root: Path, *, name: str, seed: int) -> ImageSet:
        splits = {split: self.listed(root, split) for split in self.facts.num_images}
        class_names = self.class_names(root, splits["train"])
        labels = {split: _labels(images, list(class_names)) for split, images in splits.items()}
        listed = [path for images in splits.values() for path in images.paths]
        missing = [path.relative_to(root).as_posix() for path in listed if not path.is_file()]
        if missing:
            raise ImageSetError(
                f"every image that the lists of {root} name must be there, but {len(missing):,} of {len(listed):,} are "
                f"not, the first {', '.join(missing[:NUM_NAMED])}; unpack the archives of the images again"
            )
        tables = {split: table_of_files(images.paths, labels[split]) for split, images in splits.items()}
        return image_set_of_tables(name, tuple(class_names.values()), tables, self.facts.metric, root=root)


def _labels(images: ListedImages, known: Sequence[int | str]) -> list[int]:
    label_of = {listed: label for label, listed in enumerate(known)}
    for path, listed in zip(images.paths, images.classes, strict=True):
        if listed not in label_of and isinstance(listed, int):
            raise ImageSetError(
                f"labels of {images.origin} must lie in 1 … {len(known)}, but {path.name} has {listed}; "
                "unpack its archive again"
            )
        if listed not in label_of:
            raise ImageSetError(
                f"each class of {images.origin} must be one of the set's {len(known)}, but {listed!r} is not."
                f"{nearest_word(str(listed), map(str, known))}"
            )
    return [label_of[listed] for listed in images.classes]


def _check_is_there(path: Path) -> None:
    if not path.is_file():
        raise ImageSetError(
            f"the list {path} must be where its publisher lays it out, but is not there; unpack its archive, "
            "or check the folder"
        )
