import numpy as np
import pytest

from pretrieve.artifacts.sealed_files import read_sealed_json
from pretrieve.data.array_set import image_set_from_arrays
from pretrieve.data.folder_tree import load_folder_tree
from pretrieve.data.registry import CARD, load_stored_set, save_image_set


@pytest.fixture
def image_set(rng):
    images = rng.integers(0, 256, (6, 8, 8), dtype=np.uint8)
    labels = np.array([0, 1, 2, 2, 1, 0])
    splits = {"train": (images, labels), "test": (images[:2], labels[:2])}
    return image_set_from_arrays("Ä set", ["a", "b", "c"], splits, metric="mean_per_class")


def test_a_stored_set_is_the_set(image_set, tmp_path):
    save_image_set(image_set, tmp_path / "stored")
    assert load_stored_set(tmp_path / "stored") == image_set


def test_a_stored_tree_still_points_to_its_files(make_tree, tmp_path):
    tree = load_folder_tree(make_tree("train/cat/1.png", "train/dog/2.png"), name="tree")
    save_image_set(tree, tmp_path / "stored")
    assert load_stored_set(tmp_path / "stored") == tree


def test_what_was_never_stored_is_none(tmp_path):
    assert load_stored_set(tmp_path / "nothing") is None


def test_an_unfinished_set_is_none_and_can_be_stored_again(image_set, tmp_path):
    save_image_set(image_set, tmp_path)
    (tmp_path / CARD).unlink()
    assert load_stored_set(tmp_path) is None
    save_image_set(image_set, tmp_path)
    assert load_stored_set(tmp_path) == image_set


def test_a_set_that_cannot_be_written_whole_has_no_card(image_set, tmp_path):
    (tmp_path / "test.parquet").mkdir()
    with pytest.raises(OSError, match=r"test\.parquet"):
        save_image_set(image_set, tmp_path)
    assert load_stored_set(tmp_path) is None


def test_the_card_tells_a_reader_what_the_set_is(image_set, tmp_path):
    save_image_set(image_set, tmp_path)
    card = read_sealed_json(tmp_path / CARD)
    assert card["name"] == "Ä set"
    assert card["class_names"] == ["a", "b", "c"]
