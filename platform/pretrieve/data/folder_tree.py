"""Image sets laid out as folder trees: `train/<class>/*.png`, `val/<class>/*`, `test/<class>/*`."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from pretrieve.data.image_set import ImageSet, Metric
from pretrieve.data.image_table import table_fingerprint, table_of_files
from pretrieve.errors import ImageSetError

IMAGE_SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"})
SPLITS = ("train", "val", "test")


def load_folder_tree(root: Path, *, name: str, metric: Metric = "top1") -> ImageSet:
    """Read an image set from a folder tree.

    A tree without a `train` folder is the train split itself (`<root>/<class>/*`), which is enough for a source.

    Args:
      root: the folder that holds train/, and for a target test/ and perhaps val/.
      name: the set's name.
      metric: how a target is scored.

    Returns:
      ImageSet with class names in sorted order of their folders; files stay where they are.

    Raises:
      ImageSetError: the folder is missing, holds no class folder or image, or test has a class that train lacks.
    """
    if not root.is_dir():
        raise ImageSetError(f"the folder of {name!r} must exist, but {root} does not; check the path")
    folders = {split: root / split for split in SPLITS if (root / split).is_dir()}
    if "train" not in folders:
        if folders:
            raise ImageSetError(f"{root} has {sorted(folders)} but no 'train' folder; add train/<class>/ folders")
        folders = {"train": root}
    class_names = _class_folders(folders["train"], name)
    splits = {split: _read_split(folder, class_names, name) for split, folder in folders.items()}
    return ImageSet(
        name=name,
        class_names=tuple(class_names),
        splits=splits,
        fingerprints={split: table_fingerprint(table, root) for split, table in splits.items()},
        metric=metric,
    )


def _class_folders(folder: Path, name: str) -> list[str]:
    names = sorted(child.name for child in folder.iterdir() if child.is_dir() and not child.name.startswith("."))
    if not names:
        raise ImageSetError(f"{folder} of {name!r} must hold one folder a class, but holds none")
    return names


def _read_split(folder: Path, class_names: list[str], name: str) -> pa.Table:
    label_of = {class_name: label for label, class_name in enumerate(class_names)}
    unknown = [child for child in _class_folders(folder, name) if child not in label_of]
    if unknown:
        raise ImageSetError(
            f"classes of {folder} must also be in train, but {len(unknown)} are not: {', '.join(unknown[:5])}"
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
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.rglob("*") if _is_image(path, folder))


def _is_image(path: Path, folder: Path) -> bool:
    # Hidden folders too: notebooks and photo viewers keep second copies and thumbnails in them.
    hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
    return path.suffix.lower() in IMAGE_SUFFIXES and not hidden and path.is_file()
