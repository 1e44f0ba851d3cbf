"""With the `datasets` package where it is installed, and always with a small object of the same interface."""

from __future__ import annotations

import numpy as np
import pytest

from pretrieve.data.decode import decode_square, encode_png, read_content
from pretrieve.data.forms import parquet_tables
from pretrieve.data.forms.hugging_face import image_set_from_hugging_face
from pretrieve.data.forms.parquet_tables import load_parquet
from pretrieve.errors import ImageSetError

NAMES = ["ant", "cat"]


class ImageFeature:
    def __init__(self, decode=True):
        self.decode = decode


class ClassLabel:
    def __init__(self, names):
        self.names = names


class LocalDataset:
    """What `image_set_from_hugging_face` uses of `datasets.Dataset`; decoding an image is an error here."""

    def __init__(self, rows, features):
        self.rows = rows
        self.features = features

    def select_columns(self, columns):
        rows = [{column: row[column] for column in columns} for row in self.rows]
        return LocalDataset(rows, {column: self.features[column] for column in columns})

    def with_format(self, kind):
        assert kind is None
        return self

    def cast_column(self, column, feature):
        return LocalDataset(self.rows, {**self.features, column: feature})

    def __iter__(self):
        assert not getattr(self.features["image"], "decode", False), "images were decoded"
        return iter(self.rows)


def _local(images, labels, names):
    features = {"image": ImageFeature(), "label": ClassLabel(names) if names else object(), "other": object()}
    rows = [{"image": image, "label": label, "other": 0} for image, label in zip(images, labels, strict=True)]
    return LocalDataset(rows, features)


def _installed(images, labels, names):
    datasets = pytest.importorskip("datasets", reason="the extra hugging-face is not installed")
    label = datasets.ClassLabel(names=names) if names else datasets.Value("int64")
    features = datasets.Features({"image": datasets.Image(), "label": label, "other": datasets.Value("int64")})
    columns = {"image": images, "label": labels, "other": [0] * len(labels)}
    return datasets.Dataset.from_dict(columns, features=features)


@pytest.fixture(params=["a local object", "datasets"])
def make(request):
    """Make a data set from stored images, labels and perhaps names."""
    build = _local if request.param == "a local object" else _installed
    return lambda images, labels, names=None: build(images, labels, names)


def _stored(content, path=None):
    return {"bytes": content, "path": path}


def test_bytes_and_names_come_as_they_are_stored(make, png):
    data = {
        "train": make([_stored(png(0)), _stored(png(1))], [1, 0], NAMES),
        "validation": make([_stored(png(2))], [1], NAMES),
        "test": make([_stored(png(3))], [0], NAMES),
    }
    made = image_set_from_hugging_face("animals", data, metric="mean_per_class")
    assert made.class_names == ("ant", "cat")
    assert {split: table["content"].to_pylist() for split, table in made.splits.items()} == {
        "train": [png(0), png(1)],
        "val": [png(2)],
        "test": [png(3)],
    }
    assert [table["label"].to_pylist() for table in made.splits.values()] == [[1, 0], [1], [0]]


def test_a_single_data_set_is_train_and_a_test_split_is_made(make, png):
    data = make([_stored(png(k)) for k in range(10)], [k % 2 for k in range(10)])
    made = image_set_from_hugging_face("x", data, test_fraction=0.4)
    assert (made.num_images("train"), made.num_images("test"), made.class_names) == (6, 4, ("0", "1"))


def test_images_stored_as_paths_stay_in_their_files(make, write_images):
    file = str(write_images("1.png") / "1.png")
    made = image_set_from_hugging_face("x", make([_stored(None, file)], [0]))
    assert made.splits["train"].select(["path", "content"]).to_pylist() == [{"path": file, "content": None}]


def test_the_label_that_means_none_is_refused_with_its_split_and_row(make, png):
    data = {
        "train": make([_stored(png(0)), _stored(png(1))], [0, 1], NAMES),
        "test": make([_stored(png(2))], [-1], NAMES),
    }
    with pytest.raises(ImageSetError, match=r"test\[0\]: a label of test must be a class .*, but is -1"):
        image_set_from_hugging_face("x", data)


def test_a_row_without_an_image_or_label_is_refused(make, png):
    with pytest.raises(ImageSetError, match=r"train\[1\]: a row must hold an image, but holds none"):
        image_set_from_hugging_face("x", make([_stored(png(0)), None], [0, 0]))
    with pytest.raises(ImageSetError, match=r"train\[1\]: a label must be .* but is missing"):
        image_set_from_hugging_face("x", make([_stored(png(0)), _stored(png(1))], [0, None]))


def test_splits_that_name_their_classes_differently_or_the_same_split_twice_are_refused(make, png):
    first, second = make([_stored(png(0))], [0], ["a"]), make([_stored(png(1))], [0], ["b"])
    with pytest.raises(ImageSetError, match=r"class names of test of 'x' must be those of the split before it"):
        image_set_from_hugging_face("x", {"train": first, "test": second})
    with pytest.raises(ImageSetError, match=r"splits of 'x' must differ, but \['val', 'validation'\] hold val twice"):
        image_set_from_hugging_face("x", {"val": first, "validation": first})


def test_a_missing_column_or_another_object_is_refused(make, png):
    with pytest.raises(
        ImageSetError, match=r"train of 'x' must have one column 'labels', but its columns are .* Did you mean 'label'"
    ):
        image_set_from_hugging_face("x", make([_stored(png(0))], [0]), label_column="labels")
    with pytest.raises(ImageSetError, match=r"must be a datasets\.Dataset that knows its features, but is a list"):
        image_set_from_hugging_face("x", [])


@pytest.mark.parametrize("how", ["with_transform", "set_transform", "with_format"])
def test_a_transform_that_is_set_is_refused_with_what_to_do(png, how):
    data = _installed([_stored(png(0)), _stored(png(1))], [0, 1], NAMES)
    changed = data.with_format("custom", transform=dict) if how == "with_format" else getattr(data, how)(dict)
    message = r"train of 'x' must have no transform, .*; take it off with with_format\(None\), or write .* with map"
    with pytest.raises(ImageSetError, match=message):
        image_set_from_hugging_face("x", data if changed is None else changed)


@pytest.mark.parametrize("kind", ["torch", "numpy", "arrow", None])
def test_a_format_of_tensors_changes_no_picture(png, kind):
    if kind == "torch":
        pytest.importorskip("torch")
    data = _installed([_stored(png(0)), _stored(png(1))], [0, 1], NAMES).with_format(kind)
    made = image_set_from_hugging_face("x", data)
    assert made.splits["train"]["content"].to_pylist() == [png(0), png(1)]


def test_rows_are_those_of_the_view_and_not_of_the_table(png):
    data = _installed([_stored(png(k)) for k in range(4)], [0, 1, 0, 1], NAMES)
    made = image_set_from_hugging_face("x", data.select([3, 0]).map(lambda row: {"label": 1 - row["label"]}))
    assert made.splits["train"]["content"].to_pylist() == [png(3), png(0)]
    assert made.splits["train"]["label"].to_pylist() == [0, 1]


def test_a_mode_of_the_image_column_is_kept():
    datasets = pytest.importorskip("datasets", reason="the extra hugging-face is not installed")
    pixels = np.random.default_rng(0).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    data = _installed([_stored(encode_png(pixels))], [0], ["ant"]).cast_column("image", datasets.Image(mode="L"))
    made = image_set_from_hugging_face("x", data)
    found = decode_square(made.splits["train"]["content"][0].as_py(), 6)
    np.testing.assert_array_equal(found[..., 0], np.asarray(data[0]["image"]))


@pytest.mark.parametrize("form", ["parquet", "arrow"])
def test_what_datasets_writes_is_read_as_a_table_with_the_names_of_its_classes(tmp_path, monkeypatch, png, form):
    data = _installed([_stored(png(k)) for k in range(5)], [1, 0, 1, 1, 0], NAMES)
    if form == "parquet":
        data.to_parquet(tmp_path / "train.parquet")
    else:
        data.save_to_disk(tmp_path / "saved")
    monkeypatch.setattr(parquet_tables, "HELD_TABLES_LIMIT", 0)
    made = load_parquet(tmp_path, name="x")
    train = made.splits["train"]
    contents = list(map(read_content, train["path"].to_pylist(), train["content"].to_pylist()))
    assert contents == [png(k) for k in range(5)]
    assert train["content"].null_count == 5
    assert [made.class_names[label] for label in train["label"].to_pylist()] == ["cat", "ant", "cat", "cat", "ant"]


def test_a_column_of_groups_is_kept_and_a_missing_one_is_refused(png):
    rows = [{"image": _stored(png(k)), "label": k % 2, "clip": f"clip {k // 2}"} for k in range(4)]
    data = LocalDataset(rows, {"image": ImageFeature(), "label": ClassLabel(NAMES), "clip": object()})
    made = image_set_from_hugging_face("x", {"train": data, "test": data}, group_column="clip")
    for table in made.splits.values():
        assert table["group"].to_pylist() == ["clip 0", "clip 0", "clip 1", "clip 1"]
    with pytest.raises(ImageSetError, match=r"train of 'x' must have one column 'clips', but .* Did you mean 'clip'"):
        image_set_from_hugging_face("x", data, group_column="clips")
