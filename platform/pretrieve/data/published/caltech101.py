"""Caltech-101: 101 kinds of objects, split by a draw (Fei-Fei et al. 2004)."""

from __future__ import annotations

from pathlib import Path

from pretrieve.data.decode import IMAGE_SUFFIXES
from pretrieve.data.folder_walk import visible_folders
from pretrieve.data.image_set import ImageSet, image_set_of_tables
from pretrieve.data.image_table import table_of_files
from pretrieve.data.published._base import Archive, PublishedFacts, PublishedSet
from pretrieve.data.splits import split_per_class
from pretrieve.errors import ImageSetError

FOLDER = "101_ObjectCategories"
CLUTTER = "BACKGROUND_Google"  # pictures of no class, which come in the same folder


class Caltech101(PublishedSet):
    """No split is official: the seed draws 30 training images of each class, the rest are test."""

    name = "caltech101"
    training_images_per_class = 30
    facts = PublishedFacts(
        title="Caltech-101",
        num_classes=101,
        num_images={"train": 3_030, "test": 5_647},
        metric="mean_per_class",
        split="30 of each class drawn for training by the seed, the rest test",
        licence="CC BY 4.0",
        page="https://data.caltech.edu/records/mzrjq-6wc02",
        archives=(
            Archive(
                "caltech-101.zip",
                "https://data.caltech.edu/records/mzrjq-6wc02/files/caltech-101.zip",
                md5="3138e1922a9193bfa496528edbbc45d0",
                contains=f"caltech-101/{FOLDER}.tar.gz",
            ),
            Archive(f"caltech-101/{FOLDER}.tar.gz", None, md5=None, contains=FOLDER),
        ),
    )

    def read(self, root: Path, *, name: str, seed: int) -> ImageSet:
        """Read `101_ObjectCategories/<class>/*.jpg`, without the clutter, and draw the split (`split_per_class`)."""
        images_of_class = _read_classes(root / FOLDER)
        paths = [path for images in images_of_class.values() for path in images]
        labels = [label for label, images in enumerate(images_of_class.values()) for _ in images]
        train, test = split_per_class(
            table_of_files(paths, labels),
            images_per_class=self.training_images_per_class,
            seed=seed,
            set_name=name,
            class_names=tuple(images_of_class),
        )
        splits = {"train": train, "test": test}
        return image_set_of_tables(name, tuple(images_of_class), splits, self.facts.metric, root=root)


def _read_classes(folder: Path) -> dict[str, list[Path]]:
    if not folder.is_dir():
        raise ImageSetError(
            f"the folder {folder} must be where its publisher lays it out, but is not there; unpack "
            f"caltech-101.zip and {FOLDER}.tar.gz within it, or check the folder"
        )
    classes = [folder / name for name in visible_folders(folder)]
    images_of_class = {
        child.name: sorted(
            path for path in child.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")
        )
        for child in classes
        if child.name != CLUTTER
    }
    empty = [class_name for class_name, images in images_of_class.items() if not images]
    if empty or not images_of_class:
        raise ImageSetError(
            f"{folder} must hold a folder of images for every class, but "
            f"{'holds no folder' if not empty else f'{empty[0]!r} is empty'}; unpack {FOLDER}.tar.gz again"
        )
    return images_of_class
