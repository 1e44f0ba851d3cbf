"""SUN397: 397 kinds of scenes (Xiao et al. 2010)."""

from __future__ import annotations

from pathlib import Path

from pretrieve.data.published._base import Archive, PublishedFacts
from pretrieve.data.published.official_lists import ListedImages, ListedSet, read_lines

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

    def listed(self, root: Path, split: str) -> ListedImages:
        """Read `SUN397/<letter>/<class>/*.jpg` by the lists that Partitions.zip puts at the root."""
        origin = root / ("Training_01.txt" if split == "train" else "Testing_01.txt")
        images = read_lines(origin)
        paths = [root / "SUN397" / image.lstrip("/") for image in images]
        return ListedImages(origin, paths, [image.rpartition("/")[0] for image in images])

    def class_names(self, root: Path, train: ListedImages) -> dict[str, str]:
        return {folder: folder[len("/a/") :] for folder in read_lines(root / "ClassName.txt")}
