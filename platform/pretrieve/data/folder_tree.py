"""Image sets laid out as folder trees: `train/<class>/*.png`, `val/<class>/*`, `test/<class>/*`."""

from __future__ import annotations

import os
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Literal

import pyarrow as pa

from pretrieve.data.decode import IMAGE_SUFFIXES
from pretrieve.data.folder_walk import visible_files, visible_folders
from pretrieve.data.forms.given_labels import normal_form
from pretrieve.data.image_set import ImageSet, image_set_of_tables
from pretrieve.data.image_table import table_of_files
from pretrieve.data.split_words import SPLIT_WORDS, SPLITS, read_split
from pretrieve.data.splits import with_test
from pretrieve.errors import ImageSetError, nearest_word

Subfolders = Literal["classes", "images"]

_WORDS = {**SPLIT_WORDS, "eval": "test", "evaluation": "test", "pred": "", "prediction": "", "unlabeled": ""}
"""What people call splits, in lower case; "" is for images without labels."""

_WORD_IN_FOLDER = re.compile(rf"(?<![a-z0-9])({'|'.join(_WORDS)})(?![a-z])")


def load_folder_tree(
    root: str | Path,
    *,
    name: str,
    metric: str = "top1",
    test_fraction: float | None = None,
    seed: int = 0,
    splits: Mapping[str, str] | None = None,
    subfolders: Subfolders | None = None,
) -> ImageSet:
    """Read an image set from a folder tree; files stay where they are, and class folders are sorted.

    A tree without a `train` folder is the train split itself (`<root>/<class>/*`), which is enough for a source.
    Linked folders are followed, each once; hidden folders and those of storage boxes (`@eaDir`, …) are left out.

    Args:
      root: the folder that holds train/, and for a target test/ and perhaps val/.
      name: the set's name.
      metric: how a target is scored.
      test_fraction: share of each class of train held out as test where there is no test folder.
      seed: decides which images are held out.
      splits: the folder of each split below `root`, where they have other names; `{"train": "."}` makes all folders
        classes, also one that is called train.
      subfolders: what folders within a class folder are: `images` of it, or `classes` named by their path; None takes
        them for images of the class, and refuses a tree most of whose images lie in several folders below a class.

    Raises:
      ImageSetError: the folder is missing, holds no class folder or image, its splits have other names, names of
        classes differ only in case, spaces or Unicode form, an image is a broken link, or test has a class that train
        lacks.
      OSError: a folder cannot be read.
    """
    root = Path(root).expanduser().absolute()  # workers run in folders of their own
    if not root.is_dir():
        raise ImageSetError(f"the folder of {name!r} must exist, but {root} does not; check the path")
    if splits is None:
        _check_split_names(root, name)
    folders = _split_folders(root, name, splits)
    files = {split: _files_of_classes(split, folders, name, subfolders) for split in folders}
    class_names = sorted(files["train"])
    tables = {split: _table_of_classes(folders[split], found, class_names, name) for split, found in files.items()}
    held_out = with_test(tables, fraction=test_fraction, seed=seed, set_name=name, class_names=class_names)
    return image_set_of_tables(name, class_names, held_out, metric, root=root)


def _split_folders(root: Path, name: str, splits: Mapping[str, str] | None) -> dict[str, Path]:
    """Find the folder of each split: those that are given, those that are called like splits, or the root."""
    if splits is not None:
        return _given_folders(root, name, splits)
    folders = {split: root / split for split in SPLITS if (root / split).is_dir()}
    if "train" not in folders and folders:
        raise ImageSetError(
            f"{root} has {sorted(folders)} but no 'train' folder; add train/<class>/ folders, or if those are classes "
            "say splits: {train: .}"
        )
    return folders or {"train": root}


def _given_folders(root: Path, name: str, splits: Mapping[str, str]) -> dict[str, Path]:
    folders = {read_split(split): Path(os.path.normpath(root / folder)) for split, folder in splits.items()}
    if "train" not in folders or len(folders) < len(splits):
        raise ImageSetError(f"splits of {name!r} must give train a folder, and each split once, but are {dict(splits)}")
    if len({folder.resolve() for folder in folders.values()}) < len(folders):
        raise ImageSetError(
            f"splits of {name!r} must be folders of their own, but are {dict(splits)}; to hold out a part of train as "
            "test, leave test out and say test_fraction"
        )
    for split, folder in folders.items():
        if not folder.is_dir() or not folder.is_relative_to(root):
            raise ImageSetError(
                f"splits of {name!r} must be folders in {root}, but that of {split} is {splits.get(split, folder)!r}."
                f"{nearest_word(str(splits.get(split)), visible_folders(root))}"
            )
    return folders


def _files_of_classes(
    split: str, folders: Mapping[str, Path], name: str, subfolders: Subfolders | None
) -> dict[str, list[Path]]:
    """List the images of each class of a split, by the class's name."""
    folder = folders[split]
    others = {other for key, other in folders.items() if key != split}
    classes = [child for child in visible_folders(folder) if folder / child not in others]
    if not classes:
        raise ImageSetError(
            f"{folder} of {name!r} must hold one folder a class, but holds none; if it is a class itself and no split, "
            "say splits: {train: .}"
        )
    inner = [other for other in others if other.is_relative_to(folder)]
    files = {child: _images_below(folder / child, inner) for child in classes}
    if subfolders == "classes":
        by_path: dict[str, list[Path]] = {}
        for path in (path for paths in files.values() for path in paths):
            by_path.setdefault(path.parent.relative_to(folder).as_posix(), []).append(path)
        files = by_path
    elif subfolders is None:
        _check_depth(folder, files)
    _check_spelling(folder, sorted(files))
    return files


def _images_below(folder: Path, others: Collection[Path]) -> list[Path]:
    """List the images below a folder, but not those in the folders of other splits."""
    files = [path for path in _visible_files(folder) if path.suffix.lower() in IMAGE_SUFFIXES]
    files = [path for path in files if not any(path.is_relative_to(other) for other in others)]
    gone = sorted(path for path in files if not path.is_file())
    if gone:
        raise ImageSetError(
            f"images of {folder} must exist, but {len(gone)} are links to files that do not, "
            f"the first {gone[0].name!r}; repair or remove the links"
        )
    return sorted(files)


def _check_depth(folder: Path, files: Mapping[str, list[Path]]) -> None:
    """Refuse class folders that hold few images themselves, but folders that may be the classes.

    One folder of the same name in each class, such as `images`, is none of these.
    """
    inner: dict[str, str] = {}  # path below the class folder -> an example of it
    for name, paths in files.items():
        below = Counter(path.parent.relative_to(folder / name).as_posix() for path in paths)
        if 2 * below.pop(".", 0) < len(paths):  # a cover picture or two make no class of what lies deeper
            inner |= {path: f"{name}/{path}" for path in sorted(below)}
    if len(inner) > 1:
        one, other, *_ = inner.values()
        raise ImageSetError(
            f"class folders of {folder} must hold their images themselves, but they lie in {one!r}, {other!r} and so "
            f"on; if these are the classes, say subfolders: classes, and if {one.split('/')[0]!r} is one, say "
            "subfolders: images"
        )


def _check_spelling(folder: Path, names: Sequence[str]) -> None:
    alike = names_alike(names, normal_form)
    if alike:
        raise ImageSetError(
            f"class folders of {folder} must differ in more than case, but {' and '.join(map(repr, alike[0]))} do not; "
            "a disk of another system makes one of them: rename or join them"
        )


def _table_of_classes(folder: Path, files: Mapping[str, list[Path]], class_names: Sequence[str], name: str) -> pa.Table:
    unknown = sorted(child for child in files if child not in class_names)
    if unknown:
        raise ImageSetError(
            f"classes of {folder} must also be in train, but {len(unknown)} are not: {', '.join(unknown[:5])}."
            f"{nearest_word(unknown[0], class_names)}"
        )
    paths = [path for class_name in class_names for path in files.get(class_name, [])]
    labels = [label for label, class_name in enumerate(class_names) for _ in files.get(class_name, [])]
    if not paths:
        raise ImageSetError(f"{folder} of {name!r} holds no image; known suffixes: {', '.join(sorted(IMAGE_SUFFIXES))}")
    return table_of_files(paths, labels)


def passed_over_names(root: Path, splits: Mapping[str, str] | None = None) -> list[str]:
    """Name what of a tree is in no split: `passed_over_files`, and folders beside the splits, with a / at the end."""
    folders = _split_folders(root, root.name, splits)
    beside = [root / name for name in visible_folders(root) if root not in folders.values()]
    beside = [path for path in beside if not any(folder.is_relative_to(path) for folder in folders.values())]
    files = [path.relative_to(root).as_posix() for path in passed_over_files(root, splits)]
    return [*files, *(f"{path.name}/" for path in beside)]


def passed_over_files(root: Path, splits: Mapping[str, str] | None = None) -> list[Path]:
    """List the files of a tree that are in no split, because they lack an image suffix or lie in no class."""
    folders = _split_folders(root, root.name, splits).values()
    found = [(path, path.relative_to(folder)) for folder in folders for path in _visible_files(folder)]
    return sorted({path for path, below in found if path.suffix.lower() not in IMAGE_SUFFIXES or len(below.parts) == 1})


def names_alike(names: Sequence[str], common: Callable[[str], str] | None = None) -> list[list[str]]:
    """Group the names that have one form in `common`; by default, that of a disk that ignores case or composes accents.

    >>> names_alike(["Cat", "cat", "dog"])
    [['Cat', 'cat']]
    """
    groups: dict[str, list[str]] = {}
    for name in names:
        form = common(name) if common else unicodedata.normalize("NFC", name).casefold()
        groups.setdefault(form, []).append(name)
    return [group for group in groups.values() if len(group) > 1]


def _visible_files(folder: Path) -> list[Path]:
    """List the visible files below a folder; a name that is not Unicode raises an ImageSetError."""
    found = list(visible_files(folder))
    for name in found:
        if not name.isascii() and name.encode("utf-8", "surrogateescape") != name.encode("utf-8", "replace"):
            shown = name.encode("utf-8", "backslashreplace").decode()
            raise ImageSetError(f"names of files must be UTF-8, but {shown} is not; rename it")
    return list(map(Path, found))


def _check_split_names(root: Path, name: str) -> None:
    """Raise an ImageSetError where splits lie a folder deeper or have other names, which would be taken for classes."""
    folders = visible_folders(root)
    found = _split_names(folders)
    for split in SPLITS:
        others = [folder for folder, meant in found.items() if meant == split]
        if others and split not in folders:
            given = {each: _inner_folder(root, folder) for folder, each in reversed(found.items()) if each}
            shown = ", ".join(f"{each}: {given[each]}" for each in SPLITS if each in given)
            raise ImageSetError(
                f"splits of {name!r} must be called {', '.join(SPLITS)}, but {root} holds {others[0]!r}; rename it "
                f"to {split!r}, or name the folders: splits: {{{shown}}}; if all are classes, say splits: {{train: .}}"
            )
    if len(folders) == 1 and (root / folders[0] / "train").is_dir():
        raise ImageSetError(
            f"the folder of {name!r} must be the one that holds 'train', but {root} holds it inside {folders[0]!r}; "
            f"give {root / folders[0]}"
        )


def _split_names(folders: Sequence[str]) -> dict[str, str]:
    """Find the folders that are splits by their names, and which; none where they may well be classes.

    They are if there is a `train`, if all names have a word for a split, or if names differ in that word alone, such
    as `cars_train` and `cars_test`.
    """
    words = {folder: set(_WORD_IN_FOLDER.findall(folder.lower())) for folder in folders}
    named = {folder: _WORDS[found.pop()] for folder, found in words.items() if len(found) == 1}
    if "train" in folders:
        return {folder: split for folder, split in named.items() if folder.lower() in _WORDS}
    if len(named) == len(folders):
        return named
    shapes: dict[str, set[str]] = {}
    for folder, split in named.items():
        shapes.setdefault(_shape(folder), set()).add(split)
    return {folder: split for folder, split in named.items() if {"train"} < shapes[_shape(folder)]}


def _shape(folder: str) -> str:
    return _WORD_IN_FOLDER.sub("*", folder.lower())


def _inner_folder(root: Path, folder: str) -> str:
    """Return the path of a split; it may lie in a folder of the same name, as archives unpack."""
    inner = visible_folders(root / folder)
    return f"{folder}/{inner[0]}" if len(inner) == 1 and _split_names(inner) else folder
