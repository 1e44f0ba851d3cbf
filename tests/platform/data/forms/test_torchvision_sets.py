import numpy as np
import pytest
import torch
from torch.utils.data import Subset
from torchvision.datasets import FakeData, ImageFolder
from torchvision.transforms import ToTensor

from pretrieve.data.decode import decode_square
from pretrieve.data.forms.torchvision_sets import image_set_from_torchvision
from pretrieve.errors import ImageSetError


class Listed:
    """A data set of (image, label) pairs with torchvision's interface."""

    def __init__(self, pairs, classes=None):
        self.pairs = pairs
        if classes is not None:
            self.classes = classes

    def __len__(self):
        return len(self.pairs)

    def __getitem__(self, index):
        return self.pairs[index]


def _named(image_set, split="train"):
    table = image_set.splits[split]
    pairs = zip(table["path"].to_pylist(), table["label"].to_pylist(), strict=True)
    return [f"{image_set.class_names[label]}={'/'.join(path.split('/')[-2:])}" for path, label in pairs]


def _grey(value=0):
    return np.full((4, 4), value, np.uint8)


def test_files_of_image_folders_stay_where_they_are(write_images):
    root = write_images("train/ant/1.png", "train/cat/2.png", "test/ant/3.png", "test/cat/4.png")
    made = image_set_from_torchvision("x", train=ImageFolder(root / "train"), test=ImageFolder(root / "test"))
    assert _named(made) == ["ant=ant/1.png", "cat=cat/2.png"]
    assert _named(made, "test") == ["ant=ant/3.png", "cat=cat/4.png"]
    assert made.splits["train"]["content"].null_count == 2


def test_folders_that_count_their_classes_differently_are_matched_by_name(write_images):
    root = write_images("train/ant/1.png", "train/cat/2.png", "train/emu/3.png", "test/cat/4.png", "test/emu/5.png")
    made = image_set_from_torchvision("x", train=ImageFolder(root / "train"), test=ImageFolder(root / "test"))
    assert _named(made, "test") == ["cat=cat/4.png", "emu=emu/5.png"]
    with pytest.raises(ImageSetError, match=r"classes of test of 'x' must also be in train, but 1 are not: ant; add"):
        image_set_from_torchvision("x", train=ImageFolder(root / "test"), test=ImageFolder(root / "train"))


def test_labels_of_numpy_are_matched_by_name_too():
    train = Listed([(_grey(), 0), (_grey(), 1)], classes=["ant", "cat"])
    test = Listed([(_grey(), np.int64(0))], classes=["cat"])
    made = image_set_from_torchvision("x", train=train, test=test)
    assert made.splits["test"]["label"].to_pylist() == [1]


def test_a_subset_of_a_folder_takes_its_files(write_images):
    folder = ImageFolder(write_images("ant/1.png", "ant/2.png", "cat/3.png", "cat/4.png"))
    made = image_set_from_torchvision("x", train=Subset(folder, [3, 0]), val=Subset(folder, [1]))
    assert _named(made) == ["cat=cat/4.png", "ant=ant/1.png"]
    assert _named(made, "val") == ["ant=ant/2.png"]
    with pytest.raises(
        ImageSetError, match=r"val\[1\]: a file must be listed once, but .*ant/1\.png' is at train\[0\] too"
    ):
        image_set_from_torchvision("x", train=Subset(folder, [0, 2]), val=Subset(folder, [1, 0]))


def test_pictures_and_arrays_keep_their_pixels(rng):
    pixels = rng.integers(0, 256, (5, 6, 6, 3), dtype=np.uint8)
    pairs = [(pixels[0], 0), (torch.from_numpy(pixels[1]), 1), (pixels[2, ..., 0], torch.tensor(0))]
    made = image_set_from_torchvision("x", train=Listed(pairs, classes=["a", "b"]), test=Listed([(pixels[3], 1)]))
    assert made.class_names == ("a", "b")
    decoded = [decode_square(content, 6) for content in made.splits["train"]["content"].to_pylist()]
    np.testing.assert_array_equal(decoded[:2], pixels[:2])
    np.testing.assert_array_equal(decoded[2][..., 1], pixels[2, ..., 0])


def test_torchvisions_own_set_of_pictures_is_read_with_a_test_split_made():
    fake = FakeData(size=40, image_size=(3, 8, 8), num_classes=2)
    made = image_set_from_torchvision("fake", train=fake, test_fraction=0.25, class_names=["no", "yes"])
    assert made.num_images("train") + made.num_images("test") == 40
    first = made.splits["train"]
    index = int(first["path"][0].as_py().removeprefix("train/").removesuffix(".png"))
    np.testing.assert_array_equal(decode_square(first["content"][0].as_py(), 8), np.asarray(fake[index][0]))
    assert first["label"][0].as_py() == int(fake[index][1])


def test_a_transform_that_makes_tensors_is_refused(write_images):
    fake = FakeData(size=2, image_size=(3, 8, 8), transform=ToTensor())
    with pytest.raises(
        ImageSetError, match=r"train\[0\]: an image must be .* is float32 \(3, 8, 8\); leave out the tra"
    ):
        image_set_from_torchvision("x", train=fake)
    with pytest.raises(
        ImageSetError, match=r"a ImageFolder must have no transform, .* but has ToTensor\(\); leave out"
    ):
        image_set_from_torchvision("x", train=ImageFolder(write_images("ant/1.png"), transform=ToTensor()))


def test_a_label_beyond_the_classes_is_refused_with_its_place():
    with pytest.raises(ImageSetError, match=r"train\[1\]: a label of train must be a class .*, but is 2; known are"):
        image_set_from_torchvision("x", train=Listed([(_grey(), 0), (_grey(), 2)], classes=["a", "b"]))


def test_classes_of_imagenet_are_named_by_their_ids():
    train = Listed([(_grey(), 0), (_grey(), 1)], classes=[("crane",), ("crane", "hoist")])
    train.wnids = ["n02012849", "n03126707"]
    assert image_set_from_torchvision("x", train=train).class_names == ("n02012849 crane", "n03126707 crane")


def test_a_set_whose_labels_are_changed_has_no_names_of_the_old_ones(write_images):
    folder = ImageFolder(write_images("ant/1.png", "cat/2.png"), target_transform=lambda label: 1 - label)
    made = image_set_from_torchvision("x", train=folder)
    assert made.class_names == ("0", "1")
    assert made.splits["train"]["label"].to_pylist() == [1, 0]


def test_an_object_without_images_is_refused():
    with pytest.raises(ImageSetError, match="must hold images of train, but holds no image at all"):
        image_set_from_torchvision("x", train=Listed([]))
