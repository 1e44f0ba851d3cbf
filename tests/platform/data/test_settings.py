import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from published_miniatures import write_miniature
from pydantic import ValidationError

from pretrieve.data.array_set import image_set_from_arrays
from pretrieve.data.decode import encode_png
from pretrieve.data.loading import load_source, load_target
from pretrieve.data.registry import register_target
from pretrieve.data.settings import ImageSetSettings
from pretrieve.errors import ImageSetError

pytestmark = pytest.mark.usefixtures("no_registered_sets")

TREE = ("train/cat/1.png", "train/cat/2.png", "train/dog/3.png", "train/dog/4.png", "test/cat/5.png", "test/dog/6.png")


def _register(name, *splits):
    images, labels = np.zeros((20, 8, 8), np.uint8), np.repeat([0, 1], 10)
    made = image_set_from_arrays("own name", ["a", "b"], dict.fromkeys(splits, (images, labels)), metric="top1")
    register_target(name)(lambda: made)
    return made


def test_a_bare_word_is_a_registered_name():
    settings = ImageSetSettings.model_validate("digits")
    assert settings == ImageSetSettings(registered="digits")
    assert settings.display_name == "digits"


@pytest.mark.parametrize(
    ("fields", "found"),
    [
        ({}, "none of them"),
        ({"folder": ".", "registered": "digits"}, "folder and registered"),
        ({"name": "x", "metric": "top1"}, "none of them"),
        ({"folder": ".", "parquet": "."}, "folder and parquet"),
        ({"published": "cub"}, "none of them"),
    ],
)
def test_exactly_one_origin_must_be_given(fields, found):
    message = f"exactly one of folder, csv, parquet, imagenet, registered must be given, but {found} is"
    with pytest.raises(ValidationError, match=message):
        ImageSetSettings.model_validate(fields)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"folder": "nowhere"}, r"the folder must exist, but .*nowhere does not"),
        ({"registered": "x", "val_fraction": 0}, "greater than 0"),
        ({"registered": "x", "val_fraction": 1}, "less than 1"),
        (
            {"registered": "x", "metric": "top5"},
            r"a metric must be known, but 'top5' is not; known: .*\. Did you mean 'top1'\?",
        ),
        ({"registered": "x", "name": "a/b"}, "a name must have only letters, digits"),
        ({"registered": "x", "name": ""}, "a name must have only letters, digits"),
        ({"registered": "x", "fold": "y"}, "Extra inputs are not permitted"),
        ({"folder": ".", "published": "cubs"}, "Did you mean 'cub'"),
        (
            {"registered": "x", "published": "cub"},
            "'published' must come with the 'folder' of its archives, but regist",
        ),
        ({"folder": ".", "columns": {"label": "kind"}}, "'columns' are of a 'csv' or 'parquet', but folder is given"),
        ({"csv": "nowhere.csv"}, r"the file must exist, but .*nowhere\.csv does not"),
        ({"parquet": "nowhere"}, r"the file or folder must exist, but .*nowhere does not"),
        ({"imagenet": "nowhere"}, r"the folder must exist, but .*nowhere does not"),
        ({"registered": "x", "test_fraction": 1}, "less than 1"),
    ],
)
def test_a_wrong_field_is_refused(fields, message):
    with pytest.raises(ValidationError, match=message):
        ImageSetSettings.model_validate(fields)


def test_a_folder_is_relative_to_the_study_file(make_tree, tmp_path):
    root = make_tree(*TREE, root="data/birds")
    settings = ImageSetSettings.model_validate({"folder": "data/birds"}, context={"base": tmp_path})
    assert settings.folder == root.resolve()
    assert settings.display_name == "birds"


def test_a_folder_without_a_study_file_is_relative_to_the_working_folder(make_tree, tmp_path, monkeypatch):
    root = make_tree(*TREE)
    monkeypatch.chdir(tmp_path)
    assert ImageSetSettings(folder="tree").folder == root.resolve()


def test_a_folder_may_start_at_home(make_tree, tmp_path, monkeypatch):
    root = make_tree(*TREE)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert ImageSetSettings(folder="~/tree").folder == root.resolve()


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"registered": "my_package.sets:birds"}, "birds"),
        ({"registered": "birds", "name": "my birds"}, "my birds"),
        ({"folder": ".", "published": "cub"}, "cub"),
        ({"imagenet": "."}, "imagenet"),
    ],
)
def test_the_display_name_is_the_given_one_or_the_functions(fields, expected):
    assert ImageSetSettings(**fields).display_name == expected


def test_a_source_may_have_train_alone_and_takes_name_and_metric_of_the_study(tmp_path):
    made = _register("mine", "train")
    source = load_source(
        ImageSetSettings(registered="mine", name="pool", metric="mean_per_class"), seed=0, cache=tmp_path
    )
    assert (source.name, source.metric) == ("pool", "mean_per_class")
    assert source.splits == made.splits
    assert source.fingerprints == made.fingerprints
    assert load_source(ImageSetSettings(registered="mine"), seed=0, cache=tmp_path).metric == "top1"


def test_a_tree_is_loaded_as_source_and_as_target(make_tree, tmp_path):
    settings = ImageSetSettings(folder=make_tree(*TREE), metric="mean_per_class")
    assert load_source(settings, seed=0, cache=tmp_path).num_images("train") == 4
    target = load_target(settings, seed=0, cache=tmp_path)
    assert (target.name, target.metric, target.class_names) == ("tree", "mean_per_class", ("cat", "dog"))
    assert {split: target.num_images(split) for split in target.splits} == {"train": 2, "val": 2, "test": 2}


def test_a_target_without_test_is_refused(tmp_path):
    _register("mine", "train", "val")
    with pytest.raises(ImageSetError, match=r"'mine' must have a test split, but has \['train', 'val'\]; add one"):
        load_target(ImageSetSettings(registered="mine"), seed=0, cache=tmp_path)


def test_a_target_that_brings_val_keeps_its_splits_whatever_the_seed(tmp_path):
    made = _register("mine", "train", "val", "test")
    for seed in (0, 1):
        target = load_target(ImageSetSettings(registered="mine"), seed=seed, cache=tmp_path)
        assert target.splits == made.splits
        assert target.fingerprints == made.fingerprints


def test_seed_and_fraction_decide_a_made_val_split_and_its_fingerprints(tmp_path):
    made = _register("mine", "train", "test")

    def load(seed, fraction):
        settings = ImageSetSettings(registered="mine", val_fraction=fraction)
        return load_target(settings, seed=seed, cache=tmp_path)

    first = load(0, 0.2)
    assert {split: first.num_images(split) for split in first.splits} == {"train": 16, "val": 4, "test": 20}
    assert first.fingerprints == load(0, 0.2).fingerprints
    others = [first, load(1, 0.2), load(0, 0.3)]
    for split in ("train", "val"):
        assert len({one.fingerprints[split] for one in others}) == 3
    assert first.fingerprints["train"] not in (first.fingerprints["val"], made.fingerprints["train"])
    assert {one.fingerprints["test"] for one in others} == {made.fingerprints["test"]}


def test_a_target_without_test_has_one_made_of_the_share_that_is_asked_for(tmp_path):
    made = _register("mine", "train")

    def load(seed, fraction):
        settings = ImageSetSettings(registered="mine", test_fraction=fraction)
        return load_target(settings, seed=seed, cache=tmp_path)

    target = load(0, 0.3)
    assert {split: target.num_images(split) for split in target.splits} == {"train": 12, "test": 6, "val": 2}
    paths = [path for table in target.splits.values() for path in table["path"].to_pylist()]
    assert sorted(paths) == sorted(made.splits["train"]["path"].to_pylist())
    others = [target, load(1, 0.3), load(0, 0.2)]
    for split in ("train", "val", "test"):
        assert len({one.fingerprints[split] for one in others}) == 3
    assert load(0, 0.3).fingerprints == target.fingerprints


def test_a_test_share_does_not_touch_a_set_that_brings_test(tmp_path):
    made = _register("mine", "train", "val", "test")
    target = load_target(ImageSetSettings(registered="mine", test_fraction=0.3), seed=0, cache=tmp_path)
    assert target.fingerprints == made.fingerprints


def test_a_table_of_paths_is_a_target_whose_columns_have_any_name(make_tree, tmp_path):
    root = make_tree(*TREE)
    rows = [f"{path},{path.split('/')[1]},{path.split('/')[0]}" for path in TREE]
    (tmp_path / "pets.csv").write_text("file,kind,part\n" + "\n".join(rows) + "\n")
    columns = {"image": "file", "label": "kind", "split": "part", "root": root}
    settings = ImageSetSettings.model_validate({"csv": "pets.csv", "columns": columns}, context={"base": tmp_path})
    target = load_target(settings, seed=0, cache=tmp_path)
    assert (target.name, target.class_names) == ("pets", ("cat", "dog"))
    assert {split: target.num_images(split) for split in target.splits} == {"train": 2, "test": 2, "val": 2}


def test_a_parquet_folder_is_a_target(tmp_path):
    contents = [encode_png(np.full((8, 8, 3), 20 * number, np.uint8)) for number in range(6)]
    table = pa.table({"picture": contents, "label": ["cat", "cat", "cat", "dog", "dog", "dog"]})
    (tmp_path / "pets").mkdir()
    for split in ("train", "test"):
        pq.write_table(table, tmp_path / "pets" / f"{split}-00000-of-00001.parquet")
    settings = ImageSetSettings.model_validate(
        {"parquet": "pets", "columns": {"image": "picture"}}, context={"base": tmp_path}
    )
    target = load_target(settings, seed=0, cache=tmp_path)
    assert (target.name, target.class_names) == ("pets", ("cat", "dog"))
    assert {split: target.num_images(split) for split in target.splits} == {"train": 4, "test": 6, "val": 2}


def test_a_published_set_is_read_in_its_layout_and_checked(tmp_path):
    write_miniature("cub", tmp_path)
    settings = ImageSetSettings.model_validate({"published": "cub", "folder": tmp_path})
    with pytest.raises(ImageSetError, match=r"must have 200 classes \(train 5,994, test 5,794\), but"):
        load_target(settings, seed=0, cache=tmp_path)


def test_wordnet_folders_are_a_source(make_tree, tmp_path):
    root = make_tree("train/n01440764/1.JPEG", "train/n01443537/2.JPEG")
    source = load_source(ImageSetSettings(imagenet=root), seed=0, cache=tmp_path)
    assert source.name == "imagenet"
    assert [name.split()[0] for name in source.class_names] == ["n01440764", "n01443537"]


def test_a_column_of_groups_is_named_and_no_split_parts_a_group(tmp_path):
    contents = [encode_png(np.full((8, 8, 3), 9 * number, np.uint8)) for number in range(24)]
    table = {"image": contents, "label": ["cat", "dog"] * 12, "patient": [number // 3 for number in range(24)]}
    pq.write_table(pa.table(table), tmp_path / "pets.parquet")
    fields = {"parquet": "pets.parquet", "test_fraction": 0.3, "regime": {"fraction": 0.7}}

    def target(**columns):
        settings = ImageSetSettings.model_validate({**fields, "columns": columns}, context={"base": tmp_path})
        return load_target(settings, seed=0, cache=tmp_path)

    made = target(group="patient")
    parts = [set(made.splits[split]["group"].to_pylist()) for split in ("train", "val", "test")]
    assert sum(map(len, parts)) == len(set.union(*parts))
    assert made.fingerprints["train"] != target().fingerprints["train"]
    with pytest.raises(ImageSetError, match=r"pets.parquet must have one column 'patients', but .* mean 'patient'\?"):
        target(group="patients")
