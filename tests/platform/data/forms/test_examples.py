import io

import numpy as np
import pytest
import torch
from PIL import Image

from pretrieve.data.decode import decode_square
from pretrieve.data.forms import rows as given_rows
from pretrieve.data.forms.examples import image_set_from_examples
from pretrieve.errors import ImageSetError


def test_every_kind_of_image_keeps_its_pixels_and_a_file_stays_where_it_is(rng, tmp_path, png):
    pixels = rng.integers(0, 256, (6, 6, 3), dtype=np.uint8)
    (tmp_path / "file.png").write_bytes(png(1))
    images = [pixels, Image.fromarray(pixels), torch.from_numpy(pixels), png(2), tmp_path / "file.png"]
    made = image_set_from_examples("x", [(image, "a") for image in images])
    contents = made.splits["train"]["content"].to_pylist()
    for content in contents[:3]:
        np.testing.assert_array_equal(decode_square(content, 6), pixels)
    assert contents[3:] == [png(2), None]
    assert made.splits["train"]["path"].to_pylist()[4] == str(tmp_path / "file.png")


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK"])
def test_a_picture_of_any_mode_decodes_as_pillow_converts_it(rng, mode):
    picture = Image.fromarray(rng.integers(0, 256, (6, 6, 3), dtype=np.uint8)).convert(mode)
    made = image_set_from_examples("x", [(picture, 0)])
    decoded = decode_square(made.splits["train"]["content"][0].as_py(), 6)
    np.testing.assert_array_equal(decoded, np.asarray(picture.convert("RGB")))


def test_a_function_is_streamed_once_and_splits_come_along(png):
    asked = []

    def stream():
        for k in range(6):
            asked.append(k)
            yield png(k), "even" if k % 2 == 0 else "odd", ("train", "val", "test")[k // 2]

    made = image_set_from_examples("parity", stream, metric="mean_per_class")
    assert asked == list(range(6))
    assert {split: table["content"].to_pylist() for split, table in made.splits.items()} == {
        "train": [png(0), png(1)],
        "val": [png(2), png(3)],
        "test": [png(4), png(5)],
    }
    assert [table["label"].to_pylist() for table in made.splits.values()] == [[0, 1]] * 3
    assert made.metric == "mean_per_class"


@pytest.mark.parametrize(
    "label", [1, np.int64(1), np.uint8(1), torch.tensor(1)], ids=["int", "int64", "uint8", "tensor"]
)
def test_integers_of_any_type_are_labels(png, label):
    made = image_set_from_examples("x", [(png(0), 0), (png(1), label)])
    assert made.splits["train"]["label"].to_pylist() == [0, 1]


@pytest.mark.parametrize(
    ("label", "said"),
    [
        (1.0, r"1\.0 \(float\); write it as 1"),
        (True, r"True \(bool\)"),
        (None, "missing"),
        (float("nan"), "missing"),
        (np.float32(1), "float32"),
        (np.bool_(True), "bool"),
        (torch.tensor(True), "Tensor"),
        ("1.5", r"'1\.5'"),
    ],
)
def test_what_may_have_lost_its_label_is_refused_with_its_position(png, label, said):
    with pytest.raises(ImageSetError, match=rf"example 1: a label must be .*{said}"):
        image_set_from_examples("x", [(png(0), 1), (png(1), label)], class_names={1: "a"})


@pytest.mark.parametrize(
    ("example", "said"),
    [
        ((np.zeros((3, 4, 4), np.float32), 0), r"is float32 \(3, 4, 4\); leave out the transform"),
        ((torch.zeros(3, 4, 4), 0), r"is float32 \(3, 4, 4\); leave out the transform"),
        ((np.zeros((3, 4, 4), np.uint8), 0), r"its shape is \(3, 4, 4\); put its channels last"),
        ((Image.new("F", (4, 4)), 0), r"its mode is 'F', whose range is unknown"),
        ((b"", 0), "has none; leave it out"),
        ((7, 0), "but is int; convert it"),
        (("nowhere.png", 0), r"file must exist, but '.*nowhere\.png' does not"),
        (np.zeros((4, 4), np.uint8), r"must be \(image, label\), .* but is a ndarray"),
        ((b"x", 0, "train", "p1", 1), "is a tuple of 5"),
        ((b"x", 0, "train", 1.0), r"a group must be a name or an integer, but is 1\.0"),
        ((b"x", 0, "train", ""), "a group must be a name or an integer, but is ''"),
        ((b"x", 0, "trial"), r"but is 'trial'\. Did you mean 'train'"),
    ],
)
def test_a_bad_example_is_refused_with_its_position(png, example, said):
    with pytest.raises(ImageSetError, match=rf"examples of 'x' has 1 fault:\n  - example 1: .*{said}"):
        image_set_from_examples("x", [(png(0), 0), example])


def test_names_and_integers_together_are_refused(png):
    with pytest.raises(
        ImageSetError, match=r"all class names, but example 0 has 'a' and example 1 has 0; write them in"
    ):
        image_set_from_examples("x", [(png(0), "a"), (png(1), 0)])


def test_a_stream_without_end_stops_at_the_memory_allowed(png, monkeypatch):
    monkeypatch.setattr(given_rows, "HELD_BYTES_LIMIT", 1000)

    def endless():
        while True:
            yield png(0), "a"

    with pytest.raises(
        ImageSetError, match=r"must not exceed 1,000 bytes, but do at example \d+; write them as image fi"
    ):
        image_set_from_examples("x", endless)


def test_blocks_of_a_long_stream_keep_their_order(png, monkeypatch):
    monkeypatch.setattr(given_rows, "_BLOCK_BYTES", 300)
    made = image_set_from_examples("x", ((png(k), "a") for k in range(30)), test_fraction=0.3)
    held = {split: table["content"].to_pylist() for split, table in made.splits.items()}
    assert (len(held["train"]), len(held["test"])) == (21, 9)
    assert sorted(held["train"] + held["test"]) == sorted(png(k) for k in range(30))
    assert Image.open(io.BytesIO(held["train"][0])).size == (6, 6)


def test_examples_may_have_groups_all_or_none(png):
    made = image_set_from_examples(
        "x", [(png(0), 0, "train", "p1"), (png(1), 0, "train", 2), (png(2), 0, "test", "p3")]
    )
    assert [table["group"].to_pylist() for table in made.splits.values()] == [["p1", "2"], ["p3"]]
    with pytest.raises(ImageSetError, match=r"images of 'x' or none must have a group, but in split 'train' some have"):
        image_set_from_examples("x", [(png(0), 0, "train", "p1"), (png(1), 0)])
    with pytest.raises(ImageSetError, match=r"but in split 'test' some have none; give them a group"):
        image_set_from_examples("x", [(png(0), 0, "train", "p1"), (png(1), 0, "test")])


@pytest.mark.parametrize("photometric", [0, 1])
def test_sixteen_bits_of_a_tiff_are_read_from_a_picture_as_from_its_file(photometric):
    buffer = io.BytesIO()
    grey = np.linspace(0, 65535, 64).astype(np.uint16).reshape(8, 8)
    Image.fromarray(grey).save(buffer, "TIFF", tiffinfo={262: photometric})
    made = image_set_from_examples("x", [(Image.open(buffer), 0), (buffer.getvalue(), 0)])
    of_picture, of_file = (decode_square(each, 8) for each in made.splits["train"]["content"].to_pylist())
    np.testing.assert_array_equal(of_picture, of_file)
    assert (of_file[0, 0, 0] < of_file[-1, -1, 0]) == (photometric == 1)


def test_a_picture_that_breaks_off_is_a_fault_of_its_example(png):
    broken = io.BytesIO(png(1)[:-30])
    with pytest.raises(ImageSetError, match=r"1 fault:\n  - example 1: an image must decode, but Pillow says"):
        image_set_from_examples("x", [(png(0), "a"), (Image.open(broken), "b")])


def test_groups_that_differ_by_spaces_are_one_and_a_missing_one_is_refused(png):
    made = image_set_from_examples("x", [(png(0), "a", "train", "p1"), (png(1), "b", "train", " p1 ")])
    assert made.splits["train"]["group"].to_pylist() == ["p1", "p1"]
    with pytest.raises(ImageSetError, match="example 0: a group must be a name or an integer, but is 'nan'"):
        image_set_from_examples("x", [(png(0), "a", "train", "nan")])
