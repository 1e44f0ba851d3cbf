"""Image sets laid out as folder trees: `train/<class>/*.png`, `val/<class>/*`, `test/<class>/*`."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from pretrieve.data.folder_names import SPLITS, check_split_names, names_alike, visible_files
from pretrieve.data.image_set import ImageSet, Metric, image_set_of_tables
from pretrieve.data.image_table import table_of_files
from pretrieve.data.splits import with_test
from pretrieve.errors import ImageSetError, nearest_word

IMAGE_SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"})


def load_folder_tree(
    root: str | Path, *, name: str, metric: Metric = "top1", test_fraction: float | None = None, seed: int = 0
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
        classes differ in case alone, an image is a broken link, or test has a class that train lacks.
      OSError: a folder cannot be read.
    """
    root = Path(root).expanduser().absolute()  # workers run in folders of their own
    if not root.is_dir():
        raise ImageSetError(f"the folder of {name!r} must exist, but {root} does not; check the path")
    check_split_names(root, name)
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
        files = _image_files(folder / class_name)
        paths += files
        labels += [label] * len(files)
    if not paths:
        raise ImageSetError(f"{folder} of {name!r} holds no image; known suffixes: {', '.join(sorted(IMAGE_SUFFIXES))}")
    return table_of_files(paths, labels)


def _image_files(folder: Path) -> list[Path]:
    files = [path for path in visible_files(folder) if path.suffix.lower() in IMAGE_SUFFIXES]
    gone = sorted(path for path in files if not path.is_file())
    if gone:
        raise ImageSetError(
            f"images of {folder} must exist, but {len(gone)} are links to files that do not, the first "
            f"{gone[0].name!r}; mend or remove the links"
        )
    return sorted(files)


def passed_over_files(root: Path) -> list[Path]:
    """List the files of a tree that are in no split, because they lack an image suffix or lie in no class."""
    folders = [root / split for split in SPLITS if (root / split).is_dir()] if (root / "train").is_dir() else [root]
    found = [(path, path.relative_to(folder)) for folder in folders for path in visible_files(folder)]
    return sorted(path for path, below in found if path.suffix.lower() not in IMAGE_SUFFIXES or len(below.parts) == 1)
