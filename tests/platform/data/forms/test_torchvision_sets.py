import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import ConcatDataset, Dataset, Subset
from torchvision.datasets import DatasetFolder, FakeData, ImageFolder
from torchvision.transforms import ToTensor

from pretrieve.data.decode import decode_square, read_content
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


def _inverted(image):
    return Image.fromarray(255 - np.asarray(image))


class Negatives(ImageFolder):
    def __getitem__(self, index):
        image, label = super().__getitem__(index)
        return _inverted(image), label


class NegativesOf(Dataset):
    """The usual wrapper that gives a part of a data set a transform of its own."""

    def __init__(self, part):
        self.dataset, self.indices = part.dataset, part.indices

    def __len__(self):
        return len(self.indices)

    def __getitem__(self, index):
        image, label = self.dataset[self.indices[index]]
        return _inverted(image), label


class NegativeSubset(Subset):
    def __getitem__(self, index):
        image, label = super().__getitem__(index)
        return _inverted(image), label

    def __getitems__(self, indices):  # torch demands it beside the other
        return [self[index] for index in indices]


class Delegating:
    """Passes what it does not have on to the folder."""

    def __init__(self, folder):
        self.folder = folder

    def __getattr__(self, name):
        return getattr(self.folder, name)

    def __len__(self):
        return len(self.folder)

    def __getitem__(self, index):
        return _inverted(self.folder[index][0]), self.folder[index][1]


OWN_MEANINGS = {
    "a loader": lambda root: ImageFolder(root, loader=lambda path: _inverted(Image.open(path))),
    "a loader of grey": lambda root: DatasetFolder(root, lambda path: Image.open(path).convert("L"), (".png",)),
    "a part of a folder with a loader": lambda root: Subset(
        ImageFolder(root, loader=lambda path: _inverted(Image.open(path))), [3, 0, 2]
    ),
    "__getitem__": Negatives,
    "a part of __getitem__": lambda root: Subset(Negatives(root), [3, 0]),
    "a wrapper of a part": lambda root: NegativesOf(Subset(ImageFolder(root), [1, 2, 3])),
    "a part of its own": lambda root: NegativeSubset(ImageFolder(root), [3, 1]),
    "a part of a part": lambda root: Subset(NegativeSubset(ImageFolder(root), [3, 1]), [1, 0]),
    "a wrapper that passes on": lambda root: Delegating(ImageFolder(root)),
    "two folders in a row": lambda root: ConcatDataset([ImageFolder(root), Negatives(root)]),
    "plain": ImageFolder,
}


@pytest.mark.parametrize("kind", OWN_MEANINGS)
def test_what_is_taken_is_what_indexing_gives(write_images, kind):
    data = OWN_MEANINGS[kind](write_images("ant/1.png", "ant/2.png", "cat/3.png", "cat/4.png"))
    given = [(np.asarray(image.convert("RGB")), label) for image, label in (data[k] for k in range(len(data)))]
    made = image_set_from_torchvision("x", train=data, class_names=["ant", "cat"] if kind.startswith("two") else None)
    table = made.splits["train"]
    side = len(given[0][0])
    taken = [
        decode_square(read_content(path, content), side)
        for path, content in zip(table["path"].to_pylist(), table["content"].to_pylist(), strict=True)
    ]
    np.testing.assert_array_equal(taken, [pixels for pixels, _ in given])
    assert table["label"].to_pylist() == [label for _, label in given]
    assert made.class_names == ("ant", "cat")


class AntOrNot(ImageFolder):
    def __getitem__(self, index):
        image, label = super().__getitem__(index)
        return image, int(self.classes[label] == "ant")


def test_labels_of_another_meaning_than_the_classes_need_names(write_images):
    root = write_images("ant/1.png", "bee/2.png", "cat/3.png")
    message = r"train\[0\]: a label .* must be that of its 'samples', .* but is 1 and not 0; give class_names"
    with pytest.raises(ImageSetError, match=message):
        image_set_from_torchvision("x", train=AntOrNot(root))
    made = image_set_from_torchvision("x", train=AntOrNot(root), class_names=["other", "ant"])
    assert made.splits["train"]["label"].to_pylist() == [1, 0, 0]


def test_data_sets_that_are_joined_must_number_their_classes_alike(write_images):
    root = write_images("one/ant/1.png", "one/bee/2.png", "two/bee/3.png", "two/cat/4.png", "three/bee/5.png")
    one, two, three = (ImageFolder(root / name) for name in ("one", "two", "three"))
    with pytest.raises(
        ImageSetError, match=r"number their classes alike, but one has ant, bee and another bee, cat; put"
    ):
        image_set_from_torchvision("x", train=ConcatDataset([one, two]))
    with pytest.raises(ImageSetError, match=r"classes of test of 'x' must also be in train, but 1 are not: cat"):
        image_set_from_torchvision("x", train=one, test=ConcatDataset([two]))
    made = image_set_from_torchvision("x", train=one, test=ConcatDataset([three]))
    assert made.splits["test"]["label"].to_pylist() == [made.class_names.index("bee")]


def test_an_image_that_a_data_set_cannot_decode_is_a_fault_of_its_row(rng, tmp_path):
    class Decoding(Listed):
        def __getitem__(self, index):
            path, label = self.pairs[index]
            with Image.open(path) as image:
                return image.convert("RGB"), label

    Image.fromarray(rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(tmp_path / "1.png")
    (tmp_path / "2.png").write_bytes((tmp_path / "1.png").read_bytes()[:1000])
    pairs = [(tmp_path / "1.png", 0), (tmp_path / "2.png", 1)]
    with pytest.raises(ImageSetError, match=r"1 fault:\n  - train\[1\]: an image must decode, but Pillow says"):
        image_set_from_torchvision("x", train=Decoding(pairs))
