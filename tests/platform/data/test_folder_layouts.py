"""Which folders are splits, which are classes, and which are neither, in the layouts that people unpack."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from pretrieve.data.dataset_card import make_card
from pretrieve.data.folder_tree import load_folder_tree, passed_over_files, passed_over_names
from pretrieve.data.image_set import ImageSet
from pretrieve.data.imagenet import load_imagenet
from pretrieve.data.loading import load_source
from pretrieve.data.settings import ImageSetSettings
from pretrieve.errors import ImageSetError

MakeTree = Callable[..., Path]


def rows(image_set: ImageSet, split: str = "train") -> list[str]:
    """Return "class: file" of each row."""
    table = image_set.splits[split]
    pairs = zip(table["label"].to_pylist(), table["path"].to_pylist(), strict=True)
    return [f"{image_set.class_names[label]}: {Path(path).name}" for label, path in pairs]


@pytest.mark.parametrize(
    "folder",
    ["@eaDir/1.png", "@__thumb", ".thumbnails", "__MACOSX", "#recycle", "$RECYCLE.BIN", "System Volume Information"],
)
@pytest.mark.parametrize("place", ["", "train/", "train/ant/"])
def test_what_storage_boxes_and_systems_keep_is_no_image(make_tree: MakeTree, folder: str, place: str) -> None:
    root = make_tree("train/ant/1.png", "train/bee/2.png", "test/ant/3.png", f"{place}{folder}/thumb.png")
    loaded = load_folder_tree(root, name="x")
    assert rows(loaded) == ["ant: 1.png", "bee: 2.png"]
    assert passed_over_files(root) == []


def test_folders_that_are_linked_are_followed_once(make_tree: MakeTree, tmp_path: Path) -> None:
    root = make_tree("train/ant/1.png", "train/bee/2.png")
    other = make_tree("a/3.png", "a/deep/4.png", root="elsewhere")
    (root / "train/cow").symlink_to(other / "a")
    (root / "train/ant/more").symlink_to(other / "a/deep")
    (root / "train/ant/again").symlink_to(other / "a/deep")
    assert rows(load_folder_tree(root, name="x")) == [
        "ant: 1.png",
        "ant: 4.png",
        "bee: 2.png",
        "cow: 3.png",
        "cow: 4.png",
    ]


@pytest.mark.parametrize("target", [".", "..", "../..", "../../train", "../ant"])
def test_a_link_that_leads_up_adds_nothing(make_tree: MakeTree, target: str) -> None:
    root = make_tree("train/ant/1.png", "train/bee/2.png")
    (root / "train/ant/up").symlink_to(target)
    (root / "train/up").symlink_to("..")
    assert rows(load_folder_tree(root, name="x")) == ["ant: 1.png", "bee: 2.png"]


def test_a_real_folder_has_its_own_path_beside_a_link_to_it(make_tree: MakeTree) -> None:
    root = make_tree("ant/z/1.png")
    (root / "ant/a").symlink_to(root / "ant/z")
    assert load_folder_tree(root, name="x").splits["train"]["path"].to_pylist() == [str(root / "ant/z/1.png")]


def test_imagenet_follows_links_without_loops_too(make_tree: MakeTree) -> None:
    root = make_tree("train/n01440764/1.png", "train/n01443537/2.png", "train/@eaDir/3.png")
    (root / "train/n01440764/up").symlink_to(root)
    assert [Path(path).name for path in load_imagenet(root).splits["train"]["path"].to_pylist()] == ["1.png", "2.png"]


LAYOUTS = {
    "training_set and test_set": (
        ("training_set/cats/1.png", "training_set/dogs/2.png", "test_set/cats/3.png", "test_set/dogs/4.png"),
        {"train": "training_set", "test": "test_set"},
    ),
    "another folder beside": (
        ("training_set/cats/1.png", "training_set/dogs/2.png", "test_set/cats/3.png", "single/x/4.png"),
        {"train": "training_set", "test": "test_set"},
    ),
    "each in a folder of its name": (
        ("seg_train/seg_train/sea/1.png", "seg_train/seg_train/wood/2.png", "seg_test/seg_test/sea/3.png",
         "seg_pred/seg_pred/4.png"),
        {"train": "seg_train/seg_train", "test": "seg_test/seg_test"},
    ),
    "a prefix and a folder beside": (
        ("cars_train/a/1.png", "cars_train/b/2.png", "cars_test/a/3.png", "devkit/x/4.png"),
        {"train": "cars_train", "test": "cars_test"},
    ),
    "years": (("train2017/a/1.png", "val2017/a/2.png"), {"train": "train2017", "val": "val2017"}),
    "capitals": (("Train/a/1.png", "Evaluation/a/2.png"), {"train": "Train", "test": "Evaluation"}),
}  # fmt: skip


@pytest.mark.parametrize("kind", LAYOUTS)
def test_folders_of_splits_are_told_with_the_setting_that_reads_them(make_tree: MakeTree, kind: str) -> None:
    paths, splits = LAYOUTS[kind]
    root = make_tree(*paths)
    with pytest.raises(
        ImageSetError, match=r"splits of 'x' must be called train, val, test, but .* rename it"
    ) as caught:
        load_folder_tree(root, name="x")
    shown = ", ".join(f"{split}: {folder}" for split, folder in splits.items())
    assert f"splits: {{{shown}}}" in str(caught.value)
    loaded = load_source(ImageSetSettings(folder=root, splits=splits, name="x"), seed=0, cache=root)
    assert set(loaded.splits) == set(splits)
    assert all(" 4.png" not in row for row in rows(loaded))


@pytest.mark.parametrize(
    "names",
    [
        ("bullet train", "test tube", "car"),
        ("dev", "ops"),
        ("training shoe", "sandal"),
        ("testament", "trainer", "vale"),
    ],
)
def test_classes_with_words_of_splits_in_their_names_are_classes(make_tree: MakeTree, names: tuple[str, ...]) -> None:
    loaded = load_folder_tree(make_tree(*(f"{name}/1.png" for name in names)), name="x")
    assert loaded.class_names == tuple(sorted(names))


@pytest.mark.parametrize("names", [("car", "plane", "train"), ("car", "test"), ("bullet train", "test tube")])
def test_a_class_that_is_called_like_a_split_is_possible(make_tree: MakeTree, names: tuple[str, ...]) -> None:
    root = make_tree(*(f"{name}/{number}.png" for name in names for number in range(2)))
    with pytest.raises(ImageSetError, match=r"say splits: \{train: \.\}"):
        load_folder_tree(root, name="x")
    settings = ImageSetSettings.model_validate({"folder": str(root), "splits": {"train": "."}})
    assert load_source(settings, seed=0, cache=root).class_names == tuple(sorted(names))


def test_a_split_within_the_folder_of_train_is_no_class_of_it(make_tree: MakeTree) -> None:
    root = make_tree("ant/1.png", "bee/2.png", "held out/ant/3.png")
    loaded = load_folder_tree(root, name="x", splits={"train": ".", "test": "held out"})
    assert (rows(loaded), rows(loaded, "test")) == (["ant: 1.png", "bee: 2.png"], ["ant: 3.png"])


@pytest.mark.parametrize(
    ("splits", "message"),
    [
        ({"test": "b"}, "must give train a folder, and each split once, but are {'test': 'b'}"),
        ({"train": "a", "training": "b"}, "must give train a folder, and each split once"),
        ({"train": "aa"}, "must be folders in .*, but that of train is 'aa'. Did you mean 'a'"),
        ({"train": "a", "test": "../b"}, "must be folders in .*, but that of test is '../b'"),
        ({"trian": "a"}, "a split must be train, val or test, but is 'trian'. Did you mean 'train'"),
    ],
)
def test_splits_that_are_none_are_refused(make_tree: MakeTree, splits: Mapping[str, str], message: str) -> None:
    with pytest.raises(ImageSetError, match=message):
        load_folder_tree(make_tree("a/x/1.png", "b/x/2.png"), name="x", splits=splits)


NESTED = {
    "letters above classes": ("a/airfield/1.png", "a/alley/2.png", "b/bar/3.png", "b/beach/4.png"),
    "one class a letter": ("a/airfield/1.png", "b/bar/2.png"),
    "three deep in part": ("a/airfield/1.png", "b/bow/indoor/2.png", "b/bow/outdoor/3.png"),
    "in train": ("train/a/airfield/1.png", "train/a/alley/2.png", "test/a/alley/3.png"),
}


@pytest.mark.parametrize("kind", NESTED)
def test_classes_two_deep_are_never_silently_flat(make_tree: MakeTree, kind: str) -> None:
    root = make_tree(*NESTED[kind])
    with pytest.raises(
        ImageSetError, match=r"must hold their images themselves, but .*say subfolders: classes, and if"
    ):
        load_folder_tree(root, name="x")
    tops, leaves = (
        load_source(ImageSetSettings.model_validate({"folder": str(root), "subfolders": each}), seed=0, cache=root)
        for each in ("images", "classes")
    )
    train = [path.removeprefix("train/") for path in NESTED[kind] if not path.startswith("test/")]
    assert list(tops.class_names) == sorted({path.split("/")[0] for path in train})
    assert list(leaves.class_names) == sorted({path.rpartition("/")[0] for path in train})


@pytest.mark.parametrize(
    "paths",
    [
        ("cat/1.png", "cat/edited/2.png", "dog/raw/3.png"),
        ("n01/images/1.png", "n02/images/2.png"),
        ("cat/1.png", "dog/2.png"),
    ],
    ids=["images above and below", "one folder of one name", "plain"],
)
def test_folders_of_images_within_classes_are_images_of_them(make_tree: MakeTree, paths: tuple[str, ...]) -> None:
    loaded = load_folder_tree(make_tree(*paths), name="x")
    assert list(loaded.class_names) == sorted({path.split("/")[0] for path in paths})
    assert loaded.num_images("train") == len(paths)


def test_folders_beside_the_splits_are_listed(make_tree: MakeTree) -> None:
    root = make_tree("train/cat/1.png", "test/cat/2.png", "train2/cat/3.png", "unlabelled/4.png")
    assert passed_over_names(root) == ["train2/", "unlabelled/"]
    assert passed_over_names(root, {"train": "train/.", "test": "train2"}) == ["test/", "unlabelled/"]
    card = make_card(load_folder_tree(root, name="x"), passed_over=passed_over_names(root))
    assert "2 folders are beside those of the splits, and in none: 'train2/', 'unlabelled/'" in card.warnings


@pytest.mark.parametrize(("one", "other"), [("golden retriever", "goldenretriever"), ("bee", "ｂｅｅ")])
def test_class_folders_that_differ_in_writing_alone_are_refused(make_tree: MakeTree, one: str, other: str) -> None:
    with pytest.raises(ImageSetError, match="must differ in more than case"):
        load_folder_tree(make_tree(f"{one}/1.png", f"{other}/2.png"), name="x")


@pytest.mark.parametrize("rule", [{"splits": {"train": "."}}, {"subfolders": "images"}])
def test_the_rules_of_folders_are_of_folders_alone(rule: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"is of a 'folder', but registered is given; leave it out"):
        ImageSetSettings.model_validate({"registered": "digits", **rule})


def test_a_stray_picture_beside_classes_that_lie_deeper_hides_them_not(make_tree: MakeTree) -> None:
    classes = [f"{above}/{above}{inner}/{n}.png" for above in ("mammals", "birds") for inner in "xy" for n in range(3)]
    root = make_tree(*classes, "mammals/cover.png")
    with pytest.raises(ImageSetError, match=r"lie in 'birds/birdsx', 'birds/birdsy' and so on"):
        load_folder_tree(root, name="x")
    assert load_folder_tree(root, name="x", subfolders="images").class_names == ("birds", "mammals")


def test_splits_of_one_folder_are_refused_and_one_within_another_shares_no_image(make_tree: MakeTree) -> None:
    root = make_tree("all/ant/1.png", "all/bee/2.png")
    with pytest.raises(ImageSetError, match=r"splits of 'x' must be folders of their own, .* say test_fraction"):
        load_folder_tree(root, name="x", splits={"train": "all", "test": "all"})
    root = make_tree("set/ant/1.png", "set/bee/2.png", "set/bee/final/ant/3.png", "set/bee/final/bee/4.png")
    splits = {"train": "set", "test": "set/bee/final"}
    loaded = load_folder_tree(root, name="x", splits=splits, subfolders="images")
    assert rows(loaded) == ["ant: 1.png", "bee: 2.png"]
    assert rows(loaded, "test") == ["ant: 3.png", "bee: 4.png"]
