import numpy as np
import pyarrow as pa
import pytest

from pretrieve.data import image_table
from pretrieve.data.image_table import (
    SCHEMA,
    concatenate,
    groups_of,
    pool_splits,
    rows_of_splits,
    table_fingerprint,
    table_of_contents,
    table_of_files,
    take_rows,
)


def test_tables_of_files_and_of_contents_have_one_schema(tmp_path):
    files = table_of_files([tmp_path / "b", tmp_path / "a"], [1, 0])
    contents = table_of_contents(["b", "a"], [b"1", b"2"], [1, 0])
    assert files.schema == contents.schema == SCHEMA
    assert files["path"].to_pylist() == [str(tmp_path / "b"), str(tmp_path / "a")]
    assert files["content"].to_pylist() == [None, None]
    assert contents["content"].to_pylist() == [b"1", b"2"]
    assert files["index"].to_pylist() == contents["index"].to_pylist() == [0, 1]


def test_joined_tables_count_their_rows_from_zero_again():
    first, second = table_of_contents(["a", "b"], [b"1", b"2"], [0, 1]), table_of_contents(["c"], [b"3"], [0])
    joined = concatenate([second, first])
    assert joined.schema == SCHEMA
    assert joined["index"].to_pylist() == [0, 1, 2]
    assert joined["path"].to_pylist() == ["c", "a", "b"]


@pytest.mark.parametrize(
    "changed",
    [
        (["x", "b"], [b"1", b"2"], [0, 1]),
        (["a", "b"], [b"1", b"3"], [0, 1]),
        (["a", "b"], [b"1", b"2"], [0, 0]),
        (["b", "a"], [b"2", b"1"], [1, 0]),
        (["a"], [b"1"], [0]),
    ],
    ids=["name", "bytes", "label", "order", "fewer"],
)
def test_names_bytes_labels_and_order_decide_the_fingerprint(changed):
    same = (["a", "b"], [b"1", b"2"], [0, 1])
    assert table_fingerprint(table_of_contents(*same)) == table_fingerprint(table_of_contents(*same))
    assert table_fingerprint(table_of_contents(*changed)) != table_fingerprint(table_of_contents(*same))


def test_bytes_in_a_table_are_hashed_whatever_their_size(monkeypatch):
    monkeypatch.setattr(image_table, "HASHED_BYTES_LIMIT", 0)
    first, second = table_of_contents(["a"], [b"11"], [0]), table_of_contents(["a"], [b"12"], [0])
    assert table_fingerprint(first) != table_fingerprint(second)


def test_a_size_does_not_run_into_the_next_name(tmp_path, monkeypatch):
    monkeypatch.setattr(image_table, "HASHED_BYTES_LIMIT", 0)

    def fingerprint(sizes):
        files = [tmp_path / name for name in sizes]
        for file, size in zip(files, sizes.values(), strict=True):
            file.write_bytes(b"\0" * size)
        return table_fingerprint(table_of_files(files, [0] * len(files)), tmp_path)

    assert fingerprint({"x": 1, "1a": 5}) != fingerprint({"x": 11, "a": 5})


def test_a_file_that_is_gone_has_no_fingerprint(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"gone\.png"):
        table_fingerprint(table_of_files([tmp_path / "gone.png"], [0]), tmp_path)


def test_groups_decide_the_fingerprint_where_there_are_any():
    def fingerprint(*groups):
        return table_fingerprint(table.append_column("group", pa.array(groups, pa.string())))

    table = table_of_contents(["a", "b"], [b"1", b"2"], [0, 1])
    found = [table_fingerprint(table), fingerprint("p", "p"), fingerprint("p", "q"), fingerprint("pp", "")]
    assert len(set(found)) == 4
    assert fingerprint("p", "q") == found[2]
    # Written down: the fingerprints of sets without groups are part of the keys of all that users have computed.
    assert found[0] == "1237a686b9df85a8"


def test_the_pool_of_a_set_has_its_splits_in_one_order_and_any_of_its_rows_make_a_table():
    splits = {
        "test": table_of_contents(["e", "f"], [b"5", b"6"], [1, 0]),
        "train": table_of_contents(["a", "b", "c"], [b"1", b"2", b"3"], [0, 1, 0]),
        "val": table_of_contents(["d"], [b"4"], [1]),
    }
    pool = pool_splits(splits)
    assert pool["path"].to_pylist() == list("abcdef")
    assert pool["index"].to_pylist() == list(range(6))
    for split, rows in rows_of_splits(splits).items():
        assert take_rows(splits, rows).equals(splits[split])
    some = take_rows(splits, np.array([5, 0, 3]))
    assert some["path"].to_pylist() == ["a", "d", "f"]
    assert some["content"].to_pylist() == [b"1", b"4", b"6"]
    assert some["index"].to_pylist() == [0, 1, 2]
    assert groups_of(some) is None
