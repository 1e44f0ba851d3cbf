"""The same miniature read by torchvision, where it has the set: the same images with the same labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from published_miniatures import write_miniature
from torchvision import datasets

from pretrieve.data.image_set import ImageSet
from pretrieve.data.published.catalogue import find_published

Decoded = list[tuple[bytes, int]]


def _read(name: str, root: Path) -> ImageSet:
    write_miniature(name, root)
    return find_published(name).read(root, name=name, seed=0)


def _ours(image_set: ImageSet, *splits: str) -> Decoded:
    decoded: Decoded = []
    for split in splits:
        table = image_set.splits[split]
        paths, labels = table["path"].to_pylist(), table["label"].to_pylist()
        decoded += [
            (np.asarray(Image.open(path).convert("RGB")).tobytes(), label)
            for path, label in zip(paths, labels, strict=True)
        ]
    assert len({pixels for pixels, _ in decoded}) == len(decoded) > 0
    return decoded


def _theirs(dataset: datasets.VisionDataset) -> Decoded:
    pairs = [dataset[index] for index in range(len(dataset))]
    return [(np.asarray(image).tobytes(), int(label)) for image, label in pairs]


@pytest.mark.parametrize("split", ["train", "test"])
def test_stanford_cars(split, tmp_path):
    ours = _read("stanford_cars", tmp_path / "stanford_cars")
    theirs = datasets.StanfordCars(tmp_path, split=split)
    assert list(ours.class_names) == theirs.classes
    assert _ours(ours, split) == _theirs(theirs)


@pytest.mark.parametrize(("split", "their_split"), [("train", "trainval"), ("test", "test")])
def test_pets(split, their_split, tmp_path):
    ours = _read("pets", tmp_path / "oxford-iiit-pet")
    theirs = datasets.OxfordIIITPet(tmp_path, split=their_split)
    assert [name.replace("_", " ").title() for name in ours.class_names] == theirs.classes
    assert _ours(ours, split) == _theirs(theirs)


def test_sun397_whose_splits_torchvision_does_not_have(tmp_path):
    ours = _read("sun397", tmp_path)
    theirs = datasets.SUN397(tmp_path)
    assert list(ours.class_names) == theirs.classes
    assert sorted(_ours(ours, "train", "test")) == sorted(_theirs(theirs))


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_aircraft(split, tmp_path):
    ours = _read("aircraft", tmp_path)
    theirs = datasets.FGVCAircraft(tmp_path, split=split)
    assert list(ours.class_names) == theirs.classes
    assert _ours(ours, split) == _theirs(theirs)


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_dtd(split, tmp_path):
    ours = _read("dtd", tmp_path / "dtd")
    theirs = datasets.DTD(tmp_path, split=split, partition=1)
    assert list(ours.class_names) == theirs.classes
    assert _ours(ours, split) == _theirs(theirs)


def test_caltech101_whose_split_is_drawn(tmp_path):
    ours = _read("caltech101", tmp_path / "caltech101")
    theirs = datasets.Caltech101(tmp_path)
    assert list(ours.class_names) == theirs.categories
    assert sorted(_ours(ours, "train", "test")) == sorted(_theirs(theirs))
