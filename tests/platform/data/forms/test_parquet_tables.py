import io
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as pq
import pytest
from PIL import Image

from pretrieve.data.decode import decode_square, read_content
from pretrieve.data.forms import parquet_tables
from pretrieve.data.forms.parquet_tables import load_parquet
from pretrieve.errors import ImageSetError

NAMES = ["ant", "cat", "emu"]


@pytest.fixture(params=["held", "referred"])
def holding(request, monkeypatch):
    """Load tables as contents, and as references."""
    if request.param == "referred":
        monkeypatch.setattr(parquet_tables, "HELD_TABLES_LIMIT", 0)
    return request.param


def _read(image_set, split="train"):
    """Return (image bytes, class name) for each row."""
    table = image_set.splits[split]
    contents = map(read_content, table["path"].to_pylist(), table["content"].to_pylist())
    return list(zip(contents, [image_set.class_names[label] for label in table["label"].to_pylist()], strict=True))


def test_a_data_set_as_hugging_face_publishes_it_has_its_names_splits_and_bytes(tmp_path, struct_table, png, holding):
    shards = {"train-00000-of-00002": [0, 1], "train-00001-of-00002": [2, 1], "validation-00000-of-00001": [2]}
    shards["test-00000-of-00001"] = [1, 0]
    for number, (name, labels) in enumerate(shards.items()):
        contents = [png(10 * number + k) for k in range(len(labels))]
        pq.write_table(struct_table(contents, labels, NAMES), tmp_path / f"{name}.parquet", row_group_size=1)
    made = load_parquet(tmp_path, name="animals", metric="mean_per_class")
    assert made.class_names == tuple(NAMES)
    assert _read(made) == [(png(0), "ant"), (png(1), "cat"), (png(10), "emu"), (png(11), "cat")]
    assert _read(made, "val") == [(png(20), "emu")]
    assert _read(made, "test") == [(png(30), "cat"), (png(31), "ant")]
    held = made.splits["train"]["content"].null_count == 0
    assert held == (holding == "held")


def test_held_and_referred_tables_have_the_same_rows_in_the_same_splits(tmp_path, struct_table, png, monkeypatch):
    pq.write_table(
        struct_table([png(k) for k in range(20)], [k % 3 for k in range(20)], NAMES), tmp_path / "all.parquet"
    )
    held = load_parquet(tmp_path, name="x", test_fraction=0.3)
    monkeypatch.setattr(parquet_tables, "HELD_TABLES_LIMIT", 0)
    referred = load_parquet(tmp_path, name="x", test_fraction=0.3)
    for split in ("train", "test"):
        assert _read(held, split) == _read(referred, split)


@pytest.mark.parametrize("form", ["stream", "feather", "parquet"])
def test_bytes_and_names_as_strings_are_read_from_every_form_of_table(tmp_path, png, holding, form):
    columns = {"picture": [png(0), png(1), png(2)], "kind": pa.array(["emu", "ant", "emu"]).dictionary_encode()}
    table = pa.table(columns)
    path = tmp_path / "table.arrow"
    if form == "stream":
        with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table, max_chunksize=2)
    else:
        (feather.write_feather if form == "feather" else pq.write_table)(table, path)
    made = load_parquet(path, name="x", image_column="picture", label_column="kind")
    assert _read(made) == [(png(0), "emu"), (png(1), "ant"), (png(2), "emu")]


@pytest.mark.parametrize("struct", [True, False], ids=["structs without bytes", "paths"])
def test_paths_in_a_table_are_relative_to_it_and_files_stay(tmp_path, write_images, struct, holding):
    folder = write_images("train/0.png", "train/1.png")
    paths = pa.array(["train/0.png", "train/1.png"])
    images = pa.StructArray.from_arrays([pa.nulls(2, pa.binary()), paths], ["bytes", "path"]) if struct else paths
    pq.write_table(pa.table({"image": images, "label": [1, 0]}), folder / "table.parquet")
    made = load_parquet(folder / "table.parquet", name="x", class_names=["a", "b"])
    assert made.splits["train"]["path"].to_pylist() == [str(folder / "train/0.png"), str(folder / "train/1.png")]
    (folder / "train/1.png").unlink()
    with pytest.raises(
        ImageSetError, match=r"table\.parquet, row 1: the image's file must exist, but '.*train/1\.png'"
    ):
        load_parquet(folder / "table.parquet", name="x", class_names=["a", "b"])


def test_folders_a_column_or_the_user_tell_the_splits(tmp_path, struct_table, png):
    for folder in ("train", "test"):
        (tmp_path / "tree" / folder).mkdir(parents=True)
        pq.write_table(struct_table([png(0)], [0]), tmp_path / "tree" / folder / "0000.parquet")
    assert sorted(load_parquet(tmp_path / "tree", name="x").splits) == ["test", "train"]
    two = struct_table([png(0), png(1)], [0, 0], split=["valid", "train"])
    pq.write_table(two, tmp_path / "one.parquet")
    made = load_parquet(tmp_path / "one.parquet", name="x")
    assert {split: table.num_rows for split, table in made.splits.items()} == {"val": 1, "train": 1}
    given = {"train": tmp_path / "one.parquet", "test": [tmp_path / "tree/train/0000.parquet"]}
    assert {s: t.num_rows for s, t in load_parquet(given, name="x").splits.items()} == {"train": 2, "test": 1}


def test_tables_of_which_only_some_tell_a_split_are_refused(tmp_path, struct_table, png):
    for name in ("train-0", "more"):
        pq.write_table(struct_table([png(0)], [0]), tmp_path / f"{name}.parquet")
    with pytest.raises(
        ImageSetError, match=r"of all tables of 'x' or of no table, but 1 give none, the first .*more\.parquet"
    ):
        load_parquet(tmp_path, name="x")
    (tmp_path / "more.parquet").rename(tmp_path / "train-test.parquet")
    with pytest.raises(
        ImageSetError, match=r"must name one split, but 'train-test\.parquet' names \['test', 'train'\]"
    ):
        load_parquet(tmp_path, name="x")


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        ([0, -1], r"train must be a class of train or of class_names, but is -1"),
        ([0, None], r"a label must be an integer or a class name, but is missing"),
        ([0, 7], r"but is 7; known are 0, 1, 2"),
    ],
)
def test_a_label_that_is_no_class_is_refused_with_file_and_row(tmp_path, struct_table, png, labels, said, holding):
    pq.write_table(struct_table([png(0), png(1)], labels, NAMES), tmp_path / "a.parquet")
    with pytest.raises(ImageSetError, match=rf"a\.parquet, row 1: .*{said}"):
        load_parquet(tmp_path, name="x")


def test_labels_as_fractions_and_images_as_numbers_are_refused_by_their_type(tmp_path, struct_table, png):
    pq.write_table(struct_table([png(0), png(1)], [0.0, 1.0]), tmp_path / "a.parquet")
    with pytest.raises(
        ImageSetError, match=r"'label' of .*a\.parquet must hold integers or class names, but holds double"
    ):
        load_parquet(tmp_path, name="x")
    with pytest.raises(
        ImageSetError, match=r"'label' of .* must hold encoded images as bytes .*, but holds double; give"
    ):
        load_parquet(tmp_path, name="x", image_column="label")
    with pytest.raises(ImageSetError, match=r"must have one column 'img', but its columns are image, label"):
        load_parquet(tmp_path, name="x", image_column="img")


def test_gaps_and_class_names_that_differ_between_tables_are_refused(tmp_path, struct_table, png):
    pq.write_table(struct_table([png(0), png(1)], [0, 2]), tmp_path / "a.parquet")
    with pytest.raises(ImageSetError, match=r"must be 0 … 2 without gaps in train, but 1 are missing: 1; add"):
        load_parquet(tmp_path, name="x")
    pq.write_table(struct_table([png(0)], [0], NAMES), tmp_path / "b.parquet")
    with pytest.raises(
        ImageSetError, match=r"metadata of all tables must be the same, but .*b\.parquet and .*a\.parquet"
    ):
        load_parquet(tmp_path, name="x")


def test_a_row_without_an_image_is_refused_where_it_can_be_known(tmp_path, struct_table, png, holding):
    table = struct_table([png(0), None], [0, 1], NAMES[:2])
    image = pa.array([{"bytes": png(0), "path": None}, {"bytes": None, "path": None}], table.schema.field("image").type)
    pq.write_table(table.set_column(0, "image", image), tmp_path / "a.parquet")
    with pytest.raises(
        ImageSetError, match=r"row of a table must hold an image|a row must hold an image, but holds nei"
    ):
        load_parquet(tmp_path, name="x")


def test_what_is_no_table_or_is_missing_is_refused(tmp_path):
    (tmp_path / "a.parquet").write_bytes(b"not a table")
    with pytest.raises(
        ImageSetError, match=r"must be a whole Parquet or Arrow file, but .*a\.parquet is not: .*; fetch"
    ):
        load_parquet(tmp_path, name="x")
    with pytest.raises(ImageSetError, match=r"a table of 'x' must exist, but .*nowhere does not"):
        load_parquet(tmp_path / "nowhere", name="x")
    (tmp_path / "a.parquet").unlink()
    with pytest.raises(ImageSetError, match=r"must hold tables, but holds none; known suffixes: \.parquet"):
        load_parquet(tmp_path, name="x")


def test_moved_tables_keep_their_fingerprint(tmp_path, struct_table, png, holding):
    folder = tmp_path / "first"
    folder.mkdir()
    pq.write_table(struct_table([png(0), png(1)], [0, 1]), folder / "train.parquet")
    before = load_parquet(folder, name="x").fingerprints
    shutil.move(folder, tmp_path / "second")
    assert load_parquet(tmp_path / "second", name="x").fingerprints == before
    pq.write_table(struct_table([png(0), png(2)], [0, 1]), tmp_path / "second" / "train.parquet")
    assert load_parquet(tmp_path / "second", name="x").fingerprints != before


def test_real_photographs_come_out_of_a_table_pixel_by_pixel(tmp_path, photographs, struct_table, holding):
    names = sorted({name for _, name in photographs})
    contents = [content for content, _ in photographs]
    table = struct_table(contents, [names.index(name) for _, name in photographs], names)
    pq.write_table(table, tmp_path / "train-00000-of-00001.parquet", row_group_size=7)
    made = load_parquet(tmp_path, name="photographs", test_fraction=0.25)
    assert (made.num_images("train"), made.num_images("test")) == (30, 10)
    expected = dict(photographs)
    for split in ("train", "test"):
        for content, name in _read(made, split):
            assert expected[content] == name
            pixels = np.asarray(Image.open(io.BytesIO(content)))
            np.testing.assert_array_equal(decode_square(content, 64), pixels)


@pytest.mark.parametrize("given", [["a", "b", "a", "b"], [1, 2, 1, 2], pa.array(list("abab")).dictionary_encode()])
def test_a_column_of_groups_is_kept_by_name_or_number(tmp_path, struct_table, png, holding, given):
    table = struct_table([png(k) for k in range(4)], [0, 0, 1, 1], NAMES[:2], clip=given)
    pq.write_table(table, tmp_path / "train.parquet")
    made = load_parquet(tmp_path, name="x", group_column="clip", test_fraction=0.5)
    groups = {split: set(made.splits[split]["group"].to_pylist()) for split in ("train", "test")}
    assert groups["train"].isdisjoint(groups["test"])
    assert groups["train"] | groups["test"] in ({"a", "b"}, {"1", "2"})
    with pytest.raises(
        ImageSetError, match=r"must have one column 'clips', but its columns are image, label, clip; name"
    ):
        load_parquet(tmp_path, name="x", group_column="clips")


def test_a_row_without_a_group_is_refused(tmp_path, struct_table, png):
    table = struct_table([png(0), png(1)], [0, 1], NAMES[:2], clip=["a", None])
    pq.write_table(table, tmp_path / "train.parquet")
    with pytest.raises(ImageSetError, match=r"row 1: a group must be a name or an integer, but is None; fill it in"):
        load_parquet(tmp_path, name="x", group_column="clip")
