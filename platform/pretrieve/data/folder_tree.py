"""Image sets laid out as folder trees: `train/<class>/*.png`, `val/<class>/*`, `test/<class>/*`."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from pretrieve.data.image_set import ImageSet, image_set_of_tables
from pretrieve.data.image_table import table_of_files
from pretrieve.data.split_words import SPLIT_WORDS, SPLITS
from pretrieve.data.splits import with_test
from pretrieve.errors import ImageSetError, nearest_word

_OTHER_WORDS = {**SPLIT_WORDS, "eval": "test", "evaluation": "test"}
"""What people call splits, in lower case."""

IMAGE_SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"})


def load_folder_tree(
    root: str | Path, *, name: str, metric: str = "top1", test_fraction: float | None = None, seed: int = 0
) -> ImageSet:
    """Read an image set from a folder tree; files stay where they are, and class folders are sorted.

    A tree without a `train` folder is the train split itself (`<root>/<class>/*`), which is enough for a source.

    Args:
      root: the folder that holds train/, and for a target test/ and perhaps val/.
      name: the set's name.
      metric: how a target is scored.
      test_fraction: share of each class of train held out as test where there is no test folder.
      seed: decides which images are held out.

    Raises:
      ImageSetError: the folder is missing, holds no class folder or image, its splits have other names, names of
        classes differ only in case, an image is a broken link, or test has a class that train lacks.
      OSError: a folder cannot be read.
    """
    root = Path(root).expanduser().absolute()  # workers run in folders of their own
    if not root.is_dir():
        raise ImageSetError(f"the folder of {name!r} must exist, but {root} does not; check the path")
    _check_split_names(root, name)
    folders = {split: root / split for split in SPLITS if (root / split).is_dir()}
    if "train" not in folders:
        if folders:
            raise ImageSetError(f"{root} has {sorted(folders)} but no 'train' folder; add train/<class>/ folders")
        folders = {"train": root}
    class_names = _class_folders(folders["train"], name)
    splits = {split: _read_split(folder, class_names, name) for split, folder in folders.items()}
    splits = with_test(splits, fraction=test_fraction, seed=seed, set_name=name)
    return image_set_of_tables(name, class_names, splits, metric, root=root)


def _class_folders(folder: Path, name: str) -> list[str]:
    names = sorted(child.name for child in folder.iterdir() if child.is_dir() and not child.name.startswith("."))
    if not names:
        raise ImageSetError(f"{folder} of {name!r} must hold one folder a class, but holds none")
    alike = names_alike(names)
    if alike:
        raise ImageSetError(
            f"class folders of {folder} must differ in more than case, but {' and '.join(map(repr, alike[0]))} do not; "
            "a disk of another system makes one of them: rename or join them"
        )
    return names


def _read_split(folder: Path, class_names: list[str], name: str) -> pa.Table:
    label_of = {class_name: label for label, class_name in enumerate(class_names)}
    unknown = [child for child in _class_folders(folder, name) if child not in label_of]
    if unknown:
        raise ImageSetError(
            f"classes of {folder} must also be in train, but {len(unknown)} are not: {', '.join(unknown[:5])}."
            f"{nearest_word(unknown[0], class_names)}"
        )
    paths: list[Path] = []
    labels: list[int] = []
    for class_name, label in label_of.items():
        files = [path for path in _visible_files(folder / class_name) if path.suffix.lower() in IMAGE_SUFFIXES]
        gone = sorted(path for path in files if not path.is_file())
        if gone:
            raise ImageSetError(
                f"images of {folder / class_name} must exist, but {len(gone)} are links to files that do not, "
                f"the first {gone[0].name!r}; repair or remove the links"
            )
        paths += sorted(files)
        labels += [label] * len(files)
    if not paths:
        raise ImageSetError(f"{folder} of {name!r} holds no image; known suffixes: {', '.join(sorted(IMAGE_SUFFIXES))}")
    return table_of_files(paths, labels)


def passed_over_files(root: Path) -> list[Path]:
    """List the files of a tree that are in no split, because they lack an image suffix or lie in no class."""
    folders = [root / split for split in SPLITS if (root / split).is_dir()] if (root / "train").is_dir() else [root]
    found = [(path, path.relative_to(folder)) for folder in folders for path in _visible_files(folder)]
    return sorted(path for path, below in found if path.suffix.lower() not in IMAGE_SUFFIXES or len(below.parts) == 1)


def names_alike(names: Sequence[str]) -> list[list[str]]:
    """Group the names that are one on a disk that ignores case, or that composes accents.

    >>> names_alike(["Cat", "cat", "dog"])
    [['Cat', 'cat']]
    """
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(unicodedata.normalize("NFC", name).casefold(), []).append(name)
    return [group for group in groups.values() if len(group) > 1]


def _visible_files(folder: Path) -> list[Path]:
    """List the files and links below a folder that have no hidden part; none where there is no such folder.

    Hidden folders are left out too: notebooks and photo viewers keep copies and thumbnails in them. A folder that
    cannot be read raises an OSError, because its images would be missing without a message. A name that is not Unicode
    raises an ImageSetError.
    """

    def fail(error: OSError) -> None:
        raise error

    if not folder.is_dir():
        return []
    found: list[Path] = []
    for parent, folders, files in os.walk(folder, onerror=fail):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [Path(parent, name) for name in files if not name.startswith(".")]
    for name in (path.as_posix() for path in found):
        if not name.isascii() and name.encode("utf-8", "surrogateescape") != name.encode("utf-8", "replace"):
            shown = name.encode("utf-8", "backslashreplace").decode()
            raise ImageSetError(f"names of files must be UTF-8, but {shown} is not; rename it")
    return found


def _check_split_names(root: Path, name: str) -> None:
    """Raise an ImageSetError where splits lie a folder deeper or have other names, which would be taken for classes."""
    folders = sorted(child.name for child in root.iterdir() if child.is_dir() and not child.name.startswith("."))
    has_splits = "train" in folders or all(folder.lower() in _OTHER_WORDS for folder in folders)
    for split in SPLITS:
        others = [folder for folder in folders if _OTHER_WORDS.get(folder.lower()) == split]
        if others and split not in folders and has_splits:
            raise ImageSetError(
                f"splits of {name!r} must be called {', '.join(SPLITS)}, but {root} holds {others[0]!r}; rename it "
                f"to {split!r}"
            )
    if len(folders) == 1 and (root / folders[0] / "train").is_dir():
        raise ImageSetError(
            f"the folder of {name!r} must be the one that holds 'train', but {root} holds it inside {folders[0]!r}; "
            f"give {root / folders[0]}"
        )
