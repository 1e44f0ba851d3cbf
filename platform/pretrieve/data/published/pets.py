"""Oxford-IIIT Pet: 37 breeds of cats and dogs (Parkhi et al. 2012)."""

from __future__ import annotations

from pathlib import Path

from pretrieve.data.image_set import ImageSet
from pretrieve.data.published._base import Archive, PublishedFacts, PublishedSet
from pretrieve.data.published.official_lists import (
    ListedImages,
    class_names_of,
    image_set_of_lists,
    read_number,
    read_rows,
)

FILES = "https://www.robots.ox.ac.uk/~vgg/data/pets/data/"


class Pets(PublishedSet):
    """The official trainval list is the paper's training set; a class is called as its images are: 'Abyssinian_100'."""

    name = "pets"
    facts = PublishedFacts(
        title="Oxford-IIIT Pet",
        num_classes=37,
        num_images={"train": 3_680, "test": 3_669},
        metric="mean_per_class",
        split="official trainval and test lists",
        licence="CC BY-SA 4.0; the images remain their owners'",
        page="https://www.robots.ox.ac.uk/~vgg/data/pets/",
        archives=(
            Archive(
                "images.tar.gz",
                f"{FILES}images.tar.gz",
                md5="5c4f3ee8e5d25df40f4fd59a7f44e54c",
                folder=".",
                contains="images",
            ),
            Archive(
                "annotations.tar.gz",
                f"{FILES}annotations.tar.gz",
                md5="95a8c909bbe2e81eed6a22bccdf3f68f",
                folder=".",
                contains="annotations",
            ),
        ),
    )

    def read(self, root: Path, *, name: str, seed: int) -> ImageSet:
        """Read `images/<breed>_<number>.jpg` by the two lists of `annotations/`."""
        splits = {"train": _read_list(root, "trainval.txt"), "test": _read_list(root, "test.txt")}
        breeds = [path.stem.rpartition("_")[0] for path in splits["train"].paths]
        return image_set_of_lists(
            splits,
            name=name,
            class_names=class_names_of(splits["train"], breeds),
            root=root,
            metric=self.facts.metric,
        )


def _read_list(root: Path, file: str) -> ListedImages:
    origin = root / "annotations" / file
    rows = read_rows(origin, 4)  # image, class, cat or dog, breed within cats or dogs
    paths = [root / "images" / f"{row[0]}.jpg" for row in rows]
    return ListedImages(origin, paths, [read_number(row[1], origin) - 1 for row in rows])
