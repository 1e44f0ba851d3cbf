import pytest

from pretrieve.data import image_table
from pretrieve.data.image_table import SCHEMA, concatenate, table_fingerprint, table_of_contents, table_of_files


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
