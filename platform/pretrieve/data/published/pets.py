"""Oxford-IIIT Pet: 37 breeds of cats and dogs (Parkhi et al. 2012)."""

from __future__ import annotations

from pathlib import Path

from pretrieve.data.published._base import Archive, PublishedFacts
from pretrieve.data.published.official_lists import ListedImages, ListedSet, numbered_names, read_number, read_rows

FILES = "https://www.robots.ox.ac.uk/~vgg/data/pets/data/"


class Pets(ListedSet):
    """The official trainval list is the training set; a class is named as its images are: 'Abyssinian_100'."""

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
                "images.tar.gz", f"{FILES}images.tar.gz", md5="5c4f3ee8e5d25df40f4fd59a7f44e54c", contains="images"
            ),
            Archive(
                "annotations.tar.gz",
                f"{FILES}annotations.tar.gz",
                "95a8c909bbe2e81eed6a22bccdf3f68f",
                contains="annotations",
            ),
        ),
    )

    def listed(self, root: Path, split: str) -> ListedImages:
        """Read `images/<breed>_<number>.jpg` by the two lists of `annotations/`."""
        origin = root / "annotations" / ("trainval.txt" if split == "train" else "test.txt")
        rows = read_rows(origin, 4)  # image, class, cat or dog, breed within cats or dogs
        paths = [root / "images" / f"{row[0]}.jpg" for row in rows]
        return ListedImages(origin, paths, [read_number(row[1], origin) for row in rows])

    def class_names(self, root: Path, train: ListedImages) -> dict[int, str]:
        return numbered_names(train, [path.stem.rpartition("_")[0] for path in train.paths])
