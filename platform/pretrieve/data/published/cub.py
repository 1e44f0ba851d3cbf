"""CUB-200-2011: 200 species of birds (Wah et al. 2011)."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from pretrieve.data.published._base import Archive, PublishedFacts
from pretrieve.data.published.official_lists import ListedImages, ListedSet, read_number, read_rows
from pretrieve.errors import ImageSetError

FOLDER = "CUB_200_2011"
FLAGS = {"train": 1, "test": 0}


class Cub(ListedSet):
    """Images, labels and splits come from three lists, joined by the image's id.

    The number in a class's name, such as '001.Black_footed_Albatross', is left out.
    """

    name = "cub"
    facts = PublishedFacts(
        title="CUB-200-2011",
        num_classes=200,
        num_images={"train": 5_994, "test": 5_794},
        metric="top1",
        split="official train and test flags",
        licence="not stated; research use",
        page="https://www.vision.caltech.edu/datasets/cub_200_2011/",
        archives=(
            Archive(
                "CUB_200_2011.tgz",
                "https://data.caltech.edu/records/65de6-vp158/files/CUB_200_2011.tgz",
                md5="97eceeb196236b17998738112f37df78",
                contains=f"{FOLDER}/images",
            ),
        ),
    )

    def listed(self, root: Path, split: str) -> ListedImages:
        """Read `CUB_200_2011/images/<class>/*.jpg` by the lists beside them."""
        folder = root / FOLDER
        file_of_image = dict(read_rows(folder / "images.txt", 2))
        label_of_image = _read_column(folder / "image_class_labels.txt", file_of_image)
        flag_of_image = _read_column(folder / "train_test_split.txt", file_of_image)
        images = [image for image in file_of_image if flag_of_image[image] == FLAGS[split]]
        paths = [folder / "images" / file_of_image[image] for image in images]
        return ListedImages(folder / "image_class_labels.txt", paths, [label_of_image[image] for image in images])

    def class_names(self, root: Path, train: ListedImages) -> dict[int, str]:
        rows = read_rows(root / FOLDER / "classes.txt", 2)
        return {number: name.partition(".")[2] for number, (_, name) in enumerate(rows, start=1)}


def _read_column(path: Path, images: Iterable[str]) -> dict[str, int]:
    numbers = {image: read_number(word, path) for image, word in read_rows(path, 2)}
    missing = [image for image in images if image not in numbers]
    if missing:
        raise ImageSetError(
            f"{path} must have a line for every image of images.txt, but {len(missing)} have none, the first "
            f"image {missing[0]}; unpack its archive again"
        )
    return numbers
