import numpy as np
import pytest

from pretrieve.data.array_set import image_set_from_arrays
from pretrieve.data.decode import decode_square
from pretrieve.errors import ImageSetError

NAMES = ("a", "b")
IMAGES = np.zeros((3, 8, 8), dtype=np.uint8)
LABELS = np.array([0, 1, 1])


@pytest.mark.parametrize("shape", [(3, 8, 8), (3, 8, 8, 3)], ids=["grey", "colour"])
def test_pixels_and_labels_come_back(rng, shape):
    images = rng.integers(0, 256, shape, dtype=np.uint8)
    made = image_set_from_arrays("set", NAMES, {"train": (images, LABELS), "test": (images[:1], LABELS[:1])})
    assert made.splits["train"]["label"].to_pylist() == LABELS.tolist()
    assert made.num_images("test") == 1
    decoded = np.stack([decode_square(content, 8) for content in made.splits["train"]["content"].to_pylist()])
    np.testing.assert_array_equal(decoded, images if images.ndim == 4 else np.stack([images] * 3, axis=-1))


def test_rows_are_named_by_set_split_class_and_number():
    made = image_set_from_arrays("set", NAMES, {"train": (IMAGES, LABELS)}, metric="mean_per_class")
    assert made.splits["train"]["path"].to_pylist()[1] == "set/train/b/000001.png"
    assert (made.name, made.class_names, made.metric) == ("set", NAMES, "mean_per_class")


def test_equal_arrays_have_equal_fingerprints_and_one_changed_pixel_another():
    changed = IMAGES.copy()
    changed[2, 3, 3] = 1
    made = [image_set_from_arrays("set", NAMES, {"train": (images, LABELS)}) for images in (IMAGES, IMAGES, changed)]
    first, same, other = (one.fingerprints["train"] for one in made)
    assert first == same
    assert first != other


@pytest.mark.parametrize(
    "images",
    [IMAGES.astype(np.float32), IMAGES[0], np.zeros((3, 8, 8, 4), np.uint8), np.zeros((3, 3, 8, 8), np.uint8)],
    ids=["floats", "one image", "four channels", "channels first"],
)
def test_arrays_that_are_no_images_are_refused(images):
    with pytest.raises(ImageSetError, match=r"'set', split 'train', must be uint8 \(N, H, W\) or .* but are \w+ \("):
        image_set_from_arrays("set", NAMES, {"train": (images, LABELS)})


@pytest.mark.parametrize(
    "labels", [LABELS[:2], LABELS[:, None], LABELS.astype(np.float64)], ids=["fewer", "a matrix", "floats"]
)
def test_labels_that_are_not_one_integer_an_image_are_refused(labels):
    with pytest.raises(ImageSetError, match=r"'set', split 'val', must have one integer label an image, but has 3 ima"):
        image_set_from_arrays("set", NAMES, {"val": (IMAGES, labels)})


@pytest.mark.parametrize("wrong", [-1, 2])
def test_a_label_that_is_no_class_is_refused(wrong):
    with pytest.raises(ImageSetError, match=rf"'set', split 'train', must lie in 0 … 1, but {wrong} was found"):
        image_set_from_arrays("set", NAMES, {"train": (IMAGES, np.array([0, 1, wrong]))})


def test_class_names_that_are_no_words_are_refused():
    arrays = {"train": (np.zeros((2, 4, 4), np.uint8), np.array([0, 1]))}
    with pytest.raises(ImageSetError, match="class names of 'x' must be words, but hold 0"):
        image_set_from_arrays("x", range(2), arrays)
