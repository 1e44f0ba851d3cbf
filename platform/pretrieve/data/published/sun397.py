"""SUN397: 397 kinds of scenes (Xiao et al. 2010)."""

from __future__ import annotations

from pathlib import Path

from pretrieve.data.published._base import Archive, PublishedFacts
from pretrieve.data.published.official_lists import ClassLists, ListedImages, ListedSet, find_label, read_lines

PAGE = "https://3dvision.princeton.edu/projects/2010/SUN/"


class Sun397(ListedSet):
    """The first of the ten official partitions: 50 images of each class to train on and 50 to test on.

    A line of the lists is '/a/apartment_building/outdoor/sun_….jpg': the class is called 'apartment_building/outdoor'.
    """

    name = "sun397"
    facts = PublishedFacts(
        title="SUN397",
        num_classes=397,
        num_images={"train": 19_850, "test": 19_850},
        metric="top1",
        split="first official partition",
        licence="not stated; research use",
        page=PAGE,
        archives=(
            Archive("SUN397.tar.gz", None, md5="8ca2778205c41d23104230ba66911c7a", contains="SUN397"),
            Archive(
                "Partitions.zip",
                f"{PAGE}download/Partitions.zip",
                md5="29a205c0a0129d21f36cbecfefe81881",
                contains="Training_01.txt",
            ),
        ),
    )

    def lists(self, root: Path) -> ClassLists:
        """Read `SUN397/<letter>/<class>/*.jpg` by the lists that Partitions.zip puts at the root."""
        class_folders = read_lines(root / "ClassName.txt")
        label_of_folder = {folder: label for label, folder in enumerate(class_folders)}
        splits = {}
        for split, file in (("train", "Training_01.txt"), ("test", "Testing_01.txt")):
            images = read_lines(root / file)
            labels = [find_label(image.rpartition("/")[0], label_of_folder, root / file) for image in images]
            paths = [root / "SUN397" / image.lstrip("/") for image in images]
            splits[split] = ListedImages(root / file, paths, labels)
        return [folder[len("/a/") :] for folder in class_folders], splits
