import json
import math
import threading

import pytest

from pretrieve.artifacts.atomic_files import read_json, replacing, write_json


def test_the_file_appears_whole_when_the_block_ends(tmp_path):
    path = tmp_path / "new" / "folder" / "file.txt"
    with replacing(path) as temporary:
        temporary.write_text("half")
        assert not path.exists()
        assert temporary.parent == path.parent
        temporary.write_text("whole")
    assert path.read_text() == "whole"
    assert list(path.parent.iterdir()) == [path]


def test_an_exception_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "file.txt"
    path.write_text("old")

    def fail_half_way():
        with replacing(path) as temporary:
            temporary.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail_half_way()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_two_writers_of_one_file_do_not_share_a_temporary_file(tmp_path):
    path = tmp_path / "file.txt"
    with replacing(path) as first, replacing(path) as second:
        first.write_text("first")
        second.write_text("second")
        assert first != second
    assert path.read_text() == "first"


def test_a_reader_never_sees_a_part(tmp_path):
    path = tmp_path / "numbers.json"
    size = 20_000
    write_json(path, [0] * size)
    stopped = threading.Event()
    seen = []

    def read_all_the_time():
        while not stopped.is_set():
            numbers = json.loads(path.read_text())
            seen.append((len(numbers), len(set(numbers))))

    reader = threading.Thread(target=read_all_the_time)
    reader.start()
    for value in range(1, 30):
        write_json(path, [value] * size)
    stopped.set()
    reader.join()
    assert set(seen) == {(size, 1)}
    assert json.loads(path.read_text())[0] == 29


def test_json_comes_back_as_it_was_written(tmp_path):
    value = {"name": "Ünïcode", "numbers": [0.1, 1e-300, -3], "nothing": None}
    write_json(tmp_path / "value.json", value)
    assert read_json(tmp_path / "value.json") == value
    assert (tmp_path / "value.json").read_text(encoding="utf-8").endswith("}\n")


@pytest.mark.parametrize(("value", "error"), [(math.nan, ValueError), (object(), TypeError)])
def test_what_json_cannot_hold_is_refused_and_leaves_no_file(tmp_path, value, error):
    with pytest.raises(error, match="JSON"):
        write_json(tmp_path / "value.json", {"value": value})
    assert list(tmp_path.iterdir()) == []
