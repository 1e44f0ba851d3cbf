"""CUB-200-2011: 200 species of birds (Wah et al. 2011)."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from pretrieve.data.published._base import Archive, PublishedFacts
from pretrieve.data.published.official_lists import ClassLists, ListedImages, ListedSet, read_number, read_rows
from pretrieve.errors import ImageSetError

FOLDER = "CUB_200_2011"
SPLIT_OF_FLAG = {1: "train", 0: "test"}


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

    def lists(self, root: Path) -> ClassLists:
        """Read `CUB_200_2011/images/<class>/*.jpg` by the lists beside them."""
        folder = root / FOLDER
        class_names = [class_name.partition(".")[2] for _, class_name in read_rows(folder / "classes.txt", 2)]
        file_of_image = dict(read_rows(folder / "images.txt", 2))
        origin = folder / "image_class_labels.txt"
        label_of_image = _read_column(origin, file_of_image)
        flag_of_image = _read_column(folder / "train_test_split.txt", file_of_image)
        splits = {}
        for flag, split in SPLIT_OF_FLAG.items():
            images = [image for image in file_of_image if flag_of_image[image] == flag]
            paths = [folder / "images" / file_of_image[image] for image in images]
            splits[split] = ListedImages(origin, paths, [label_of_image[image] - 1 for image in images])
        return class_names, splits


def _read_column(path: Path, images: Iterable[str]) -> dict[str, int]:
    numbers = {image: read_number(word, path) for image, word in read_rows(path, 2)}
    missing = [image for image in images if image not in numbers]
    if missing:
        raise ImageSetError(
            f"{path} must have a line for every image of images.txt, but {len(missing)} have none, the first "
            f"image {missing[0]}; unpack its archive again"
        )
    return numbers
