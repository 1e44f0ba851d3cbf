import subprocess
import sys

import pytest

from pretrieve.image_cache.leftovers import remove_folder, remove_leftovers, temporary_folder

WRITE_FOR_EVER = """
import sys, time
from pathlib import Path
from pretrieve.image_cache.leftovers import temporary_folder
with temporary_folder(Path(sys.argv[1]), "entry") as folder:
    (folder / "images.npy").write_bytes(b"half")
    print("writing", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def writer(tmp_path):
    """Another process in the middle of writing."""
    process = subprocess.Popen([sys.executable, "-c", WRITE_FOR_EVER, tmp_path], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "writing\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_what_a_killed_writer_left_is_removed_and_what_a_living_one_writes_is_not(writer, tmp_path):
    remove_leftovers(tmp_path)
    assert len(list(tmp_path.glob(".entry.*.tmp/images.npy"))) == 1
    writer.kill()
    writer.wait()
    remove_leftovers(tmp_path)
    assert list(tmp_path.glob(".entry*")) == []


def test_several_write_at_a_time(tmp_path):
    with temporary_folder(tmp_path, "a") as first, temporary_folder(tmp_path, "a") as second:
        assert first != second
        assert first.is_dir()
        assert second.is_dir()
    assert list(tmp_path.glob("*a*")) == []


def test_a_cache_that_is_not_there_has_no_leftovers(tmp_path):
    remove_leftovers(tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()


def test_a_removed_folder_is_gone_with_its_contents(tmp_path):
    (tmp_path / "a" / "part").mkdir(parents=True)
    (tmp_path / "a" / "part" / "images.npy").touch()
    remove_folder(tmp_path / "a", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [".writers.lock"]
