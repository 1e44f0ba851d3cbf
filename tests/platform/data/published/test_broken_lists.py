"""Lists that say what they cannot: each in the words of its own file."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from published_miniatures import car_annotations, cells, write_miniature
from scipy.io import loadmat, savemat

from pretrieve.data.published.catalogue import find_published
from pretrieve.errors import ImageSetError


def _read(name: str, root: Path) -> None:
    find_published(name).read(root, name=name, seed=0)


def _replace(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "file", "old", "new", "message"),
    [
        ("cub", "CUB_200_2011/image_class_labels.txt", "15 3", "15 4", r"lie in 1 … 3, but .*_0005_796005.jpg has 4"),
        ("cub", "CUB_200_2011/image_class_labels.txt", "1 1", "1 0", r"lie in 1 … 3, but .*_0001_796001.jpg has 0"),
        (
            "pets",
            "annotations/test.txt",
            "Egyptian_Mau_1 3",
            "Egyptian_Mau_1 4",
            r"1 … 3, but Egyptian_Mau_1.jpg has 4",
        ),
        (
            "pets",
            "annotations/trainval.txt",
            "Mau_102 3",
            "Mau_102 4",
            r"one class, but Egyptian_Mau_102.jpg has 4 for",
        ),
        (
            "pets",
            "annotations/trainval.txt",
            "Mau_102 3",
            "Mau_102 1",
            r"one class, but Egyptian_Mau_102.jpg has 1 for",
        ),
        (
            "sun397",
            "Testing_01.txt",
            "/y/youth_hostel/",
            "/y/youth_hostle/",
            r"'/y/youth_hostle' is not\. Did you mean",
        ),
        ("aircraft", "fgvc-aircraft-2013b/data/images_variant_val.txt", "F/A-18", "F/A-17", r"'F/A-17' is not\. Did"),
        ("dtd", "dtd/labels/test1.txt", "zigzagged/", "zigzag/", r"'zigzag' is not\. Did you mean 'zigzagged'"),
    ],
)
def test_a_label_that_is_no_class_is_refused(name, file, old, new, message, tmp_path):
    write_miniature(name, tmp_path)
    _replace(tmp_path / file, old, new)
    with pytest.raises(ImageSetError, match=message) as caught:
        _read(name, tmp_path)
    assert str(tmp_path / file) in str(caught.value)


@pytest.mark.parametrize(("first", "rest"), [(0, "0 is where 1"), (2, "2 is where 1")])
def test_labels_that_do_not_count_from_one_are_refused(first, rest, tmp_path):
    write_miniature("stanford_dogs", tmp_path)
    listed = loadmat(tmp_path / "train_list.mat")
    labels = listed["labels"].astype(np.int16) - 1 + first
    savemat(tmp_path / "train_list.mat", {"file_list": listed["file_list"], "labels": labels})
    with pytest.raises(ImageSetError, match=rf"train_list.mat must count from 1 without a gap, but {rest} should be"):
        _read("stanford_dogs", tmp_path)


def test_a_test_label_of_a_matlab_list_that_is_no_class_is_refused(tmp_path):
    write_miniature("stanford_cars", tmp_path)
    savemat(tmp_path / "cars_test_annos_withlabels.mat", {"annotations": car_annotations([1, 2, 3, 4])})
    with pytest.raises(ImageSetError, match=r"withlabels.mat must lie in 1 … 3, but 00004.jpg has 4; unpack"):
        _read("stanford_cars", tmp_path)


def test_a_matlab_list_that_is_broken_cut_off_or_empty_is_refused(tmp_path):
    write_miniature("stanford_dogs", tmp_path)
    path = tmp_path / "train_list.mat"
    whole = path.read_bytes()
    broken = bytearray(whole)
    broken[-40:-20] = bytes(20)
    for content in (b"", b"no MATLAB file", whole[:60], whole[:-30], bytes(broken)):
        path.write_bytes(content)
        with pytest.raises(ImageSetError, match=re.escape(f"{path} must be a MATLAB file, but: ")):
            _read("stanford_dogs", tmp_path)


def test_a_matlab_list_of_other_contents_is_refused(tmp_path):
    write_miniature("stanford_dogs", tmp_path)
    savemat(tmp_path / "test_list.mat", {"file_list": cells(["n1-dog/1.jpg"])})
    with pytest.raises(ImageSetError, match=r"test_list.mat must hold 'labels', but does not; unpack"):
        _read("stanford_dogs", tmp_path)


def test_test_annotations_without_labels_are_refused(tmp_path):
    write_miniature("stanford_cars", tmp_path)
    unlabelled = np.array([[(1, "00001.jpg"), (1, "00002.jpg")]], dtype=[("bbox_x1", object), ("fname", object)])
    savemat(tmp_path / "cars_test_annos_withlabels.mat", {"annotations": unlabelled})
    with pytest.raises(ImageSetError, match=r"withlabels.mat must hold 'class' for each image, but does not"):
        _read("stanford_cars", tmp_path)


@pytest.mark.parametrize("file", ["image_class_labels.txt", "train_test_split.txt"])
def test_an_image_without_a_line_in_another_list_is_named(file, tmp_path):
    write_miniature("cub", tmp_path)
    path = tmp_path / "CUB_200_2011" / file
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:3], *lines[5:]]))
    with pytest.raises(
        ImageSetError, match=rf"{file} must have a line for every .*, but 2 have none, the first image 4"
    ):
        _read("cub", tmp_path)


def test_a_line_with_a_word_too_few_is_named(tmp_path):
    write_miniature("pets", tmp_path)
    _replace(tmp_path / "annotations" / "test.txt", "Abyssinian_10 1 1 1", "Abyssinian_10 1")
    with pytest.raises(ImageSetError, match=r"test.txt must have 4 words, but line 2 is 'Abyssinian_10 1'; unpack"):
        _read("pets", tmp_path)


def test_a_label_that_is_no_number_is_refused(tmp_path):
    write_miniature("pets", tmp_path)
    _replace(tmp_path / "annotations" / "test.txt", "Abyssinian_10 1", "Abyssinian_10 cat")
    with pytest.raises(ImageSetError, match=r"test.txt must have a whole number where it has 'cat'"):
        _read("pets", tmp_path)


def test_empty_lines_and_line_ends_of_other_systems_do_no_harm(tmp_path):
    written = write_miniature("aircraft", tmp_path)
    for file in written.lists:
        text = (tmp_path / file).read_text(encoding="utf-8")
        (tmp_path / file).write_bytes(b"\r\n" + text.replace("\n", "\r\n").encode() + b"\r\n")
    aircraft = find_published("aircraft").read(tmp_path, name="aircraft", seed=0)
    assert aircraft.class_names == ("707-320", "Challenger 600", "F/A-18")
    assert aircraft.num_images("val") == len(written.splits["val"])
