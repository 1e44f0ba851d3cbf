"""Lists that publishers write: lines of text, or MATLAB files, that name images, their classes and their splits."""

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

from pretrieve.data.image_set import ImageSet
from pretrieve.data.image_table import table_fingerprint, table_of_files
from pretrieve.data.published._base import PublishedSet
from pretrieve.errors import ImageSetError, nearest_word

UNREADABLE = (IndexError, MatReadError, NotImplementedError, OSError, TypeError, ValueError, Warning, zlib.error)
"""What SciPy raises where a file is broken, cut off, or of MATLAB's version 7.3."""

NUM_NAMED = 3
"""Missing images that a message names."""


@dataclass(frozen=True)
class ListedImages:
    """The images of one split, as its list has them.

    Attributes:
      origin: the file that says the labels, for messages.
      paths: N image files, which need not exist yet.
      labels: N integers, counted from 0; publishers count from 1.
    """

    origin: Path
    paths: Sequence[Path]
    labels: Sequence[int]


def read_rows(path: Path, num_columns: int) -> list[list[str]]:
    """Read a text file of columns; the last one may hold spaces.

    Args:
      path: the list; empty lines are left out.
      num_columns: words that each line must have.

    Returns:
      One list of `num_columns` words for each line.

    Raises:
      ImageSetError: there is no such file, or a line has fewer words.
    """
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
    """Read a text file of one name a line, which may hold spaces.

    Raises:
      ImageSetError: there is no such file.
    """
    return [name for (name,) in read_rows(path, 1)]


def read_matlab(path: Path, *variables: str) -> list[Any]:
    """Read arrays of a MATLAB file (SciPy's reader runs nothing that a file could hold).

    Args:
      path: a `.mat` file of version 7 or earlier.
      *variables: names of arrays, cells or structures.

    Returns:
      For each name a NumPy array, flattened; the elements of cells and the fields of structures are arrays themselves.

    Raises:
      ImageSetError: there is no such file, it cannot be read, or lacks a name.
    """
    _check_is_there(path)
    try:
        with warnings.catch_warnings():
            # SciPy would go on with its message in place of the array.
            warnings.filterwarnings("error", message="Unreadable variable")
            contents = loadmat(path, variable_names=list(variables))
    except UNREADABLE as error:
        raise ImageSetError(f"{path} must be a MATLAB file, but: {error}; unpack its archive again") from error
    missing = [variable for variable in variables if variable not in contents]
    if missing:
        raise ImageSetError(f"{path} must hold {missing[0]!r}, but does not; unpack its archive again")
    return [contents[variable].ravel() for variable in variables]


def read_number(word: str, path: Path) -> int:
    """Read a whole number of a list.

    Raises:
      ImageSetError: it is none.
    """
    try:
        return int(word)
    except ValueError:
        raise ImageSetError(
            f"{path} must have a whole number where it has {word!r}; unpack its archive again"
        ) from None


def find_label(class_name: str, class_names: Mapping[str, int], path: Path) -> int:
    """Find the label of a class that a list calls by its name.

    Raises:
      ImageSetError: there is no such class.
    """
    if class_name not in class_names:
        raise ImageSetError(
            f"each class of {path} must be one of the set's {len(class_names)}, but {class_name!r} is none."
            f"{nearest_word(class_name, class_names)}"
        )
    return class_names[class_name]


def class_names_of(images: ListedImages, names: Sequence[str]) -> tuple[str, ...]:
    """Collect the names of classes from a list that has a label and a name for every image.

    Args:
      images: a split in which every class occurs.
      names: (N,) what the class of each image is called.

    Returns:
      K names in the order of their labels.

    Raises:
      ImageSetError: a label has two names, a name two labels, or the labels leave a gap.
    """
    name_of: dict[int, str] = {}
    label_of: dict[str, int] = {}
    for path, label, name in zip(images.paths, images.labels, names, strict=True):
        if name_of.setdefault(label, name) != name or label_of.setdefault(name, label) != label:
            raise ImageSetError(
                f"each label of {images.origin} must mean one class, but {path.name} has {label + 1} for {name!r}, "
                "unlike an image before it; unpack its archive again"
            )
    for expected, label in enumerate(sorted(name_of)):
        if label != expected:
            raise ImageSetError(
                f"labels of {images.origin} must count from 1 without a gap, but {label + 1} is where {expected + 1} "
                "should be; unpack its archive again"
            )
    return tuple(name_of[label] for label in sorted(name_of))


ClassLists = tuple[Sequence[str], Mapping[str, ListedImages]]
"""The K names of classes, and for each of train, val, test its images."""


class ListedSet(PublishedSet):
    """A set whose classes and splits its publisher's lists say."""

    @abstractmethod
    def lists(self, root: Path) -> ClassLists:
        """Read the lists below the root.

        Raises:
          ImageSetError: a list is missing or says what it cannot.
        """

    def read(self, root: Path, *, name: str, seed: int) -> ImageSet:
        """Make the set of what the lists say; fingerprints do not depend on where the root is.

        Raises:
          ImageSetError: as `lists`; or a label is none of the K, images are not on disk, or a class has no training
            image.
        """
        class_names, splits = self.lists(root)
        for images in splits.values():
            _check_labels(images, len(class_names))
        _check_images(splits, root)
        tables = {split: table_of_files(images.paths, images.labels) for split, images in splits.items()}
        fingerprints = {split: table_fingerprint(table, root) for split, table in tables.items()}
        return ImageSet(name, tuple(class_names), tables, fingerprints, self.facts.metric)


def _check_is_there(path: Path) -> None:
    if not path.is_file():
        raise ImageSetError(
            f"the list {path} must be where its publisher lays it out, but is not there; unpack its archive, "
            "or check the folder"
        )


def _check_labels(images: ListedImages, num_classes: int) -> None:
    for path, label in zip(images.paths, images.labels, strict=True):
        if not 0 <= label < num_classes:
            raise ImageSetError(
                f"labels of {images.origin} must lie in 1 … {num_classes}, but {path.name} has {label + 1}; "
                "unpack its archive again"
            )


def _check_images(splits: Mapping[str, ListedImages], root: Path) -> None:
    listed = [path for images in splits.values() for path in images.paths]
    missing = [path.relative_to(root).as_posix() for path in listed if not path.is_file()]
    if missing:
        raise ImageSetError(
            f"every image that the lists of {root} name must be there, but {len(missing):,} of {len(listed):,} are "
            f"not, the first {', '.join(missing[:NUM_NAMED])}; unpack the archives of the images again"
        )
