"""Stanford Dogs: 120 breeds, photographs of ImageNet (Khosla et al. 2011)."""

from __future__ import annotations

from pathlib import Path

from pretrieve.data.published._base import Archive, PublishedFacts
from pretrieve.data.published.official_lists import ListedImages, ListedSet, numbered_names, read_matlab

PAGE = "http://vision.stanford.edu/aditya86/ImageNetDogs/"


class StanfordDogs(ListedSet):
    """Labels and splits come from `train_list.mat` and `test_list.mat`, class names from the image folders.

    A name is a WordNet id and a breed: 'n02085620-Chihuahua'.
    """

    name = "stanford_dogs"
    facts = PublishedFacts(
        title="Stanford Dogs",
        num_classes=120,
        num_images={"train": 12_000, "test": 8_580},
        metric="top1",
        split="official train and test lists",
        licence="not stated; research use (the images are ImageNet's)",
        page=PAGE,
        archives=(
            Archive("images.tar", f"{PAGE}images.tar", md5=None, contains="Images"),
            Archive("lists.tar", f"{PAGE}lists.tar", md5=None, contains="train_list.mat"),
        ),
    )

    def listed(self, root: Path, split: str) -> ListedImages:
        """Read `Images/<class>/*.jpg` by the two lists."""
        origin = root / f"{split}_list.mat"
        files, labels = read_matlab(origin, "file_list", "labels")
        return ListedImages(origin, [root / "Images" / cell.item() for cell in files], [int(label) for label in labels])

    def class_names(self, root: Path, train: ListedImages) -> dict[int, str]:
        return numbered_names(train, [path.parent.name for path in train.paths])
