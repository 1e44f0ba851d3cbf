import pickle

import pyarrow as pa
import pytest

from pretrieve.data.image_set import ImageSet
from pretrieve.data.image_table import table_of_contents
from pretrieve.errors import ImageSetError


def _table(labels):
    return table_of_contents([f"image {row}" for row in range(len(labels))], [b"x"] * len(labels), labels)


def _image_set(num_classes=2, **labels):
    splits = {split: _table(values) for split, values in labels.items()}
    names = tuple(f"class {k}" for k in range(num_classes))
    return ImageSet("birds", names, splits, dict.fromkeys(splits, "fingerprint"))


def test_counts_are_those_of_the_tables():
    image_set = _image_set(num_classes=3, train=[0, 2, 1, 2], test=[1])
    assert image_set.num_classes == 3
    assert [image_set.num_images(split) for split in ("train", "test", "val")] == [4, 1, 0]
    assert image_set.metric == "top1"


def test_an_image_set_travels_by_pickle():
    image_set = _image_set(train=[1, 0, 1])
    assert pickle.loads(pickle.dumps(image_set)) == image_set


def test_a_set_without_train_is_refused():
    with pytest.raises(ImageSetError, match=r"'birds' must have a train split, but has \['test'\]"):
        _image_set(test=[0, 1])


def test_classes_without_a_training_image_are_named():
    with pytest.raises(ImageSetError, match=r"but 2 have none: class 1, class 3; add images or remove the class"):
        _image_set(num_classes=4, train=[0, 2])


@pytest.mark.parametrize("wrong", [-1, 2, None])
def test_a_label_that_is_no_class_is_refused_with_its_split(wrong):
    with pytest.raises(ImageSetError, match=rf"split 'test', must lie in 0 … 1, but {wrong} was found"):
        _image_set(train=[0, 1], test=[0, wrong])


def test_all_images_or_none_have_a_group():
    def grouped(labels, groups):
        return _table(labels).append_column("group", pa.array(groups, pa.string()))

    def image_set(**splits):
        return ImageSet("birds", ("a", "b"), splits, dict.fromkeys(splits, "fingerprint"))

    train = grouped([0, 1], ["p", "q"])
    assert image_set(train=train, test=grouped([0], ["p"])).num_images("test") == 1
    for test in (_table([0]), grouped([0], [None])):
        with pytest.raises(
            ImageSetError, match=r"all images of 'birds' or none must have a group, but in split 'test'"
        ):
            image_set(train=train, test=test)
