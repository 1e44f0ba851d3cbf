"""DTD, the Describable Textures Dataset: 47 textures (Cimpoi et al. 2014)."""

from __future__ import annotations

from pathlib import Path

from pretrieve.data.published._base import Archive, PublishedFacts
from pretrieve.data.published.official_lists import ClassLists, ListedImages, ListedSet, find_label, read_lines


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

    def lists(self, root: Path) -> ClassLists:
        """Read `dtd/images/<class>/*.jpg` by the lists of `dtd/labels/`."""
        folder = root / "dtd"
        class_names = sorted({image.partition("/")[0] for image in read_lines(folder / "labels" / "train1.txt")})
        label_of_class = {class_name: label for label, class_name in enumerate(class_names)}
        splits = {}
        for split in self.facts.num_images:
            origin = folder / "labels" / f"{split}1.txt"
            images = read_lines(origin)
            labels = [find_label(image.partition("/")[0], label_of_class, origin) for image in images]
            splits[split] = ListedImages(origin, [folder / "images" / image for image in images], labels)
        return class_names, splits
