"""Caltech-101 has no official split: what the draw must keep to, on a miniature and on the real photographs."""

from __future__ import annotations

import importlib.util
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from published_miniatures import write_image, write_miniature

from pretrieve.data.image_set import ImageSet
from pretrieve.data.published.catalogue import find_published
from pretrieve.errors import ImageSetError

FOLDER = "101_ObjectCategories"

GOLDEN = {
    1: [
        "Faces/image_0011.jpg",
        "Faces/image_0022.jpg",
        "Faces/image_0024.jpg",
        "accordion/image_0006.jpg",
        "accordion/image_0030.jpg",
        "yin_yang/image_0003.jpg",
    ],
    2: [
        "Faces/image_0002.jpg",
        "Faces/image_0020.jpg",
        "Faces/image_0028.jpg",
        "accordion/image_0018.jpg",
        "accordion/image_0024.jpg",
        "yin_yang/image_0002.jpg",
    ],
}
"""The test images by seed: a draw that changes makes results of before and after incomparable."""


def _read(root: Path, seed: int = 0) -> ImageSet:
    return find_published("caltech101").read(root, name="caltech101", seed=seed)


def _files(image_set: ImageSet, split: str) -> list[str]:
    return ["/".join(Path(path).parts[-2:]) for path in image_set.splits[split]["path"].to_pylist()]


def _labelled(image_set: ImageSet, split: str) -> list[tuple[str, int]]:
    return list(zip(_files(image_set, split), image_set.splits[split]["label"].to_pylist(), strict=True))


def _counts(image_set: ImageSet, split: str) -> Counter[int]:
    return Counter(image_set.splits[split]["label"].to_pylist())


def test_thirty_of_each_class_are_drawn_and_the_rest_is_test(tmp_path):
    written = write_miniature("caltech101", tmp_path)
    caltech = _read(tmp_path)
    assert (caltech.class_names, caltech.metric) == (written.class_names, "mean_per_class")
    assert _counts(caltech, "train") == {0: 30, 1: 30, 2: 3}
    assert _counts(caltech, "test") == {0: 3, 1: 2, 2: 1}
    files = [f"{FOLDER}/{file}" for split in ("train", "test") for file in _files(caltech, split)]
    assert sorted(files) == sorted(file for file, _ in written.splits["all"])
    labels = {f"{FOLDER}/{file}": label for split in ("train", "test") for file, label in _labelled(caltech, split)}
    assert labels == dict(written.splits["all"])


def test_the_clutter_hidden_files_and_notes_are_no_images(tmp_path):
    write_miniature("caltech101", tmp_path)
    before = _read(tmp_path)
    for file in ("Faces/._image_0001.jpg", ".ipynb_checkpoints/image_0001.jpg"):
        write_image(tmp_path / FOLDER / file, 0)
    (tmp_path / FOLDER / "Faces" / "notes.txt").touch()
    after = _read(tmp_path)
    assert "BACKGROUND_Google" not in after.class_names
    assert (after.class_names, after.fingerprints) == (before.class_names, before.fingerprints)


@pytest.mark.parametrize("seed", [1, 2])
def test_the_split_is_written_down_so_that_it_never_changes(seed, tmp_path):
    write_miniature("caltech101", tmp_path)
    assert _files(_read(tmp_path, seed), "test") == GOLDEN[seed]


def test_an_empty_class_is_named(tmp_path):
    write_miniature("caltech101", tmp_path)
    (tmp_path / FOLDER / "ant").mkdir()
    with pytest.raises(ImageSetError, match=r"images for every class, but 'ant' is empty; unpack 101_Object.* again"):
        _read(tmp_path)


def test_a_folder_without_classes_is_refused(tmp_path):
    (tmp_path / FOLDER).mkdir()
    with pytest.raises(ImageSetError, match=r"must hold a folder of images for every class, but holds no folder"):
        _read(tmp_path)


@pytest.fixture(scope="module")
def real(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The whole of Caltech-101 at 64 pixels, in its publisher's layout."""
    spec = importlib.util.spec_from_file_location("photos", shared / "photos" / "photos.py")
    photos = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(photos)
    packed = photos.load(shared / "photos" / "px64" / "target_caltech101.npz")
    root = tmp_path_factory.mktemp("caltech101")
    for image, label, path in zip(packed["images"], packed["labels"], packed["paths"], strict=True):
        file = root / FOLDER / packed["class_names"][label] / Path(path).name
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(file, "JPEG")
    return root


def test_the_real_photographs_are_split_by_the_rule(real):
    caltech = _read(real)
    train, test = _counts(caltech, "train"), _counts(caltech, "test")
    assert caltech.num_classes == 101 == len(train) == len(test)
    assert sum(train.values()) + sum(test.values()) == 8502
    for label in range(101):
        assert train[label] == min(30, train[label] + test[label] - 1)
    assert not {*_files(caltech, "train")} & {*_files(caltech, "test")}


def test_a_seed_decides_the_split_of_the_real_photographs(real):
    first, again, other = _read(real, seed=3), _read(real, seed=3), _read(real, seed=4)
    assert first.fingerprints == again.fingerprints
    assert _files(first, "train") == _files(again, "train")
    assert first.fingerprints["train"] != other.fingerprints["train"]
    # A draw that does not know of the other one has 30 of n images of a class in common with it in 30 / n of cases.
    train = [np.array(_files(image_set, "train")) for image_set in (first, other)]
    sizes = _counts(first, "train") + _counts(first, "test")
    expected = sum(_counts(first, "train")[label] ** 2 / sizes[label] for label in range(101))
    assert len(np.intersect1d(*train)) == pytest.approx(expected, rel=0.05)
