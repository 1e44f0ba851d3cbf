import shutil
from pathlib import Path

import pytest

from pretrieve.data import image_table
from pretrieve.data.folder_tree import load_folder_tree
from pretrieve.errors import ImageSetError

TREE = ("train/cat/1.png", "train/cat/2.png", "train/ant/1.png", "val/cat/3.png", "test/ant/4.png", "test/cat/5.png")


def _named_labels(image_set, split):
    """Return "class/file" for each row, the class by its label."""
    table = image_set.splits[split]
    rows = zip(table["label"].to_pylist(), table["path"].to_pylist(), strict=True)
    return [f"{image_set.class_names[label]}/{Path(path).name}" for label, path in rows]


def test_splits_classes_and_labels_follow_the_folders(make_tree):
    tree = load_folder_tree(make_tree(*TREE), name="animals", metric="mean_per_class")
    assert (tree.name, tree.metric, tree.class_names) == ("animals", "mean_per_class", ("ant", "cat"))
    assert _named_labels(tree, "train") == ["ant/1.png", "cat/1.png", "cat/2.png"]
    assert _named_labels(tree, "val") == ["cat/3.png"]
    assert _named_labels(tree, "test") == ["ant/4.png", "cat/5.png"]
    for table in tree.splits.values():
        assert table["index"].to_pylist() == list(range(table.num_rows))
        assert all(Path(path).is_file() for path in table["path"].to_pylist())
        assert table["content"].null_count == table.num_rows


def test_a_bare_tree_is_a_train_split(make_tree):
    tree = load_folder_tree(make_tree("cat/1.png", "ant/1.png", "ant/deeper/2.png"), name="source")
    assert sorted(tree.splits) == ["train"]
    assert _named_labels(tree, "train") == ["ant/1.png", "ant/2.png", "cat/1.png"]


def test_classes_are_sorted_by_name_whatever_the_order_on_disk(make_tree):
    names = [f"class {letter}" for letter in "zqakM"]
    tree = load_folder_tree(make_tree(*(f"train/{name}/1.png" for name in names)), name="sorted")
    assert tree.class_names == tuple(sorted(names))


def test_suffixes_in_capitals_are_images_and_other_files_are_not(make_tree):
    root = make_tree(
        "train/cat/1.PNG", "train/cat/2.Jpg", "train/cat/notes.txt", "train/cat/3.tiff", "train/readme.png"
    )
    assert _named_labels(load_folder_tree(root, name="x"), "train") == ["cat/1.PNG", "cat/2.Jpg", "cat/3.tiff"]


def test_hidden_files_and_folders_are_ignored(make_tree):
    root = make_tree(
        "train/cat/1.png",
        "train/cat/._1.png",
        "train/cat/.ipynb_checkpoints/1-checkpoint.png",
        "train/.cache/1.png",
        "train/cat/a folder.png/2.png",
    )
    tree = load_folder_tree(root, name="x")
    assert tree.class_names == ("cat",)
    assert _named_labels(tree, "train") == ["cat/1.png", "cat/2.png"]


def test_a_hidden_folder_above_the_tree_hides_nothing(make_tree):
    root = make_tree("train/cat/1.png", root=".datasets/animals")
    assert _named_labels(load_folder_tree(root, name="x"), "train") == ["cat/1.png"]


def test_a_split_may_lack_a_class_of_train(make_tree):
    tree = load_folder_tree(make_tree("train/ant/1.png", "train/cat/1.png", "test/cat/1.png"), name="x")
    assert _named_labels(tree, "test") == ["cat/1.png"]


def test_a_missing_folder_is_refused(tmp_path):
    with pytest.raises(ImageSetError, match=r"folder of 'birds' must exist, but .*nowhere does not; check the path"):
        load_folder_tree(tmp_path / "nowhere", name="birds")


def test_a_tree_with_test_but_no_train_is_refused(make_tree):
    with pytest.raises(ImageSetError, match=r"has \['test', 'val'\] but no 'train' folder; add train/<class>/"):
        load_folder_tree(make_tree("test/cat/1.png", "val/cat/1.png"), name="x")


def test_a_test_class_that_train_lacks_is_refused_by_name(make_tree):
    root = make_tree("train/cat/1.png", "test/cat/1.png", "test/dog/1.png", "test/emu/1.png")
    with pytest.raises(ImageSetError, match=r"classes of .*test must also be in train, but 2 are not: dog, emu"):
        load_folder_tree(root, name="x")


def test_a_folder_without_class_folders_is_refused(make_tree):
    with pytest.raises(ImageSetError, match=r"train of 'x' must hold one folder a class, but holds none"):
        load_folder_tree(make_tree("train/1.png"), name="x")


def test_class_folders_without_images_are_refused(make_tree):
    with pytest.raises(ImageSetError, match=r"train of 'x' holds no image; known suffixes: \.avif, \.bmp, .*\.webp"):
        load_folder_tree(make_tree("train/cat/1.txt"), name="x")


def test_an_empty_training_class_is_refused_by_name(make_tree):
    root = make_tree("train/cat/1.png", "train/dog/1.txt")
    with pytest.raises(ImageSetError, match=r"every class of 'x' must have a training image, but 1 have none: dog;"):
        load_folder_tree(root, name="x")


def _fingerprints(root):
    return load_folder_tree(root, name="x").fingerprints


def test_a_moved_tree_keeps_its_fingerprints(make_tree, tmp_path):
    root = make_tree(*TREE)
    before = _fingerprints(root)
    shutil.move(root, tmp_path / "elsewhere")
    assert _fingerprints(tmp_path / "elsewhere") == before
    assert len(set(before.values())) == 3


@pytest.mark.parametrize("limit", [None, 0], ids=["hashed by content", "hashed by size"])
@pytest.mark.parametrize("change", ["bytes", "name", "label", "further file"])
def test_a_change_changes_the_fingerprint_of_its_split_alone(make_tree, monkeypatch, limit, change):
    if limit is not None:
        monkeypatch.setattr(image_table, "HASHED_BYTES_LIMIT", limit)
    root = make_tree(*TREE)
    before = _fingerprints(root)
    image = root / "train/cat/1.png"
    if change == "bytes":
        image.write_bytes(image.read_bytes() + b"\0")
    elif change == "name":
        image.rename(root / "train/cat/9.png")
    elif change == "label":
        image.rename(root / "train/ant/7.png")
    else:
        shutil.copy(image, root / "train/cat/8.png")
    after = _fingerprints(root)
    assert after["train"] != before["train"]
    assert {**after, "train": ""} == {**before, "train": ""}


def test_a_changed_pixel_of_the_same_size_is_seen_up_to_the_limit_and_missed_beyond(make_tree, monkeypatch):
    root = make_tree("train/cat/1.png")
    image = root / "train/cat/1.png"
    size = image.stat().st_size

    def changes_seen():
        before = _fingerprints(root)
        content = bytearray(image.read_bytes())
        content[-20] ^= 1
        image.write_bytes(content)
        return _fingerprints(root) != before

    monkeypatch.setattr(image_table, "HASHED_BYTES_LIMIT", size)
    assert changes_seen()
    monkeypatch.setattr(image_table, "HASHED_BYTES_LIMIT", size - 1)
    assert not changes_seen()


def test_a_relative_root_is_read_from_any_working_folder(make_tree, tmp_path, monkeypatch):
    make_tree("train/cat/1.png", "train/cat/2.png", root="data/pets")
    monkeypatch.chdir(tmp_path)
    loaded = load_folder_tree("data/pets", name="pets")
    assert loaded.splits["train"]["path"].to_pylist()[0] == str(tmp_path / "data/pets/train/cat/1.png")


def test_a_tree_without_test_gives_a_share_of_each_class(make_tree):
    root = make_tree(*(f"{name}/{number}.png" for name in ("cat", "dog") for number in range(10)))
    loaded = load_folder_tree(root, name="pets", test_fraction=0.3)
    assert {split: loaded.num_images(split) for split in loaded.splits} == {"train": 14, "test": 6}
