"""Stanford Cars: 196 models by make and year (Krause et al. 2013)."""

from __future__ import annotations

from pathlib import Path

from pretrieve.data.published._base import Archive, PublishedFacts
from pretrieve.data.published.official_lists import ListedImages, ListedSet, read_matlab
from pretrieve.errors import ImageSetError

TEST_LABELS = "cars_test_annos_withlabels.mat"


class StanfordCars(ListedSet):
    """Class names come from `devkit/cars_meta.mat`; the test labels were published later, in a file of their own.

    Stanford no longer serves the files, so copies are recognised by their MD5.
    """

    name = "stanford_cars"
    facts = PublishedFacts(
        title="Stanford Cars",
        num_classes=196,
        num_images={"train": 8_144, "test": 8_041},
        metric="top1",
        split="official train and test lists",
        licence="not stated; research use",
        page="https://ai.stanford.edu/~jkrause/cars/car_dataset.html",
        archives=(
            Archive("car_devkit.tgz", None, md5="c3b158d763b6e2245038c8ad08e45376", contains="devkit"),
            Archive("cars_train.tgz", None, md5="065e5b463ae28d29e77c1b4b166cfe61", contains="cars_train"),
            Archive("cars_test.tgz", None, md5="4ce7ebf6a94d07f1952d94dd34c4d501", contains="cars_test"),
            Archive(TEST_LABELS, None, md5="b0a2b23655a3edd16d84508592a98d10", contains=TEST_LABELS),
        ),
    )

    def listed(self, root: Path, split: str) -> ListedImages:
        """Read `cars_train/*.jpg` or `cars_test/*.jpg` by its annotations."""
        origin = root / TEST_LABELS if split == "test" else root / "devkit" / "cars_train_annos.mat"
        (annotations,) = read_matlab(origin, "annotations")
        for field in ("fname", "class"):
            # The devkit also has the test annotations without labels, under nearly the same name.
            if field not in (annotations.dtype.names or ()):
                raise ImageSetError(
                    f"{origin} must hold {field!r} for each image, but does not; labels of test are in {TEST_LABELS}"
                )
        paths = [root / f"cars_{split}" / annotation["fname"].item() for annotation in annotations]
        return ListedImages(origin, paths, [int(annotation["class"].item()) for annotation in annotations])

    def class_names(self, root: Path, train: ListedImages) -> dict[int, str]:
        (names,) = read_matlab(root / "devkit" / "cars_meta.mat", "class_names")
        return {number: cell.item() for number, cell in enumerate(names, start=1)}
