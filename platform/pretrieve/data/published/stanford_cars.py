"""Stanford Cars: 196 models by make and year (Krause et al. 2013)."""

from __future__ import annotations

from pathlib import Path

from pretrieve.data.published._base import Archive, PublishedFacts
from pretrieve.data.published.official_lists import ClassLists, ListedImages, ListedSet, read_matlab
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

    def lists(self, root: Path) -> ClassLists:
        """Read `cars_train/*.jpg` and `cars_test/*.jpg` by the annotations of each."""
        (class_names,) = read_matlab(root / "devkit" / "cars_meta.mat", "class_names")
        splits = {
            "train": _read_annotations(root / "devkit" / "cars_train_annos.mat", root / "cars_train"),
            "test": _read_annotations(root / TEST_LABELS, root / "cars_test"),
        }
        return [cell.item() for cell in class_names], splits


def _read_annotations(origin: Path, folder: Path) -> ListedImages:
    (annotations,) = read_matlab(origin, "annotations")
    for field in ("fname", "class"):
        # The devkit also has the test annotations without labels, under nearly the same name.
        if field not in (annotations.dtype.names or ()):
            raise ImageSetError(
                f"{origin} must hold {field!r} for each image, but does not; the labels of test are in {TEST_LABELS}"
            )
    paths = [folder / annotation["fname"].item() for annotation in annotations]
    return ListedImages(origin, paths, [int(annotation["class"].item()) - 1 for annotation in annotations])
