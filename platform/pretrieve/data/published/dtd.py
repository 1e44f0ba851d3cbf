"""DTD, the Describable Textures Dataset: 47 textures (Cimpoi et al. 2014)."""

from __future__ import annotations

from pathlib import Path

from pretrieve.data.published._base import Archive, PublishedFacts
from pretrieve.data.published.official_lists import ListedImages, ListedSet, read_lines


class Dtd(ListedSet):
    """The first of the ten official partitions; classes are in the order of their names."""

    name = "dtd"
    facts = PublishedFacts(
        title="DTD",
        num_classes=47,
        num_images={"train": 1_880, "val": 1_880, "test": 1_880},
        metric="top1",
        split="first official partition",
        licence="research use",
        page="https://www.robots.ox.ac.uk/~vgg/data/dtd/",
        archives=(
            Archive(
                "dtd-r1.0.1.tar.gz",
                "https://www.robots.ox.ac.uk/~vgg/data/dtd/download/dtd-r1.0.1.tar.gz",
                md5="fff73e5086ae6bdbea199a49dfb8a4c1",
                contains="dtd",
            ),
        ),
    )

    def listed(self, root: Path, split: str) -> ListedImages:
        """Read `dtd/images/<class>/*.jpg` by the lists of `dtd/labels/`."""
        origin = root / "dtd" / "labels" / f"{split}1.txt"
        images = read_lines(origin)
        paths = [root / "dtd" / "images" / image for image in images]
        return ListedImages(origin, paths, [image.partition("/")[0] for image in images])

    def class_names(self, root: Path, train: ListedImages) -> dict[str, str]:
        return {str(name): str(name) for name in sorted(set(train.classes))}
