"""Locks between processes, and temporary folders of living and killed ones."""

import errno
import fcntl
import subprocess
import sys
from contextlib import ExitStack

import pytest

from pretrieve.artifacts.locks import LockedError, locked, remove_leftovers, temporary_folder

WRITE_FOR_EVER = """
import sys, time
from pathlib import Path
from pretrieve.artifacts.locks import temporary_folder
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


def test_the_lock_of_a_folder_is_gone_with_it_and_what_is_renamed_stays(tmp_path):
    with temporary_folder(tmp_path, "a") as folder:
        folder.rename(tmp_path / "entry")
    assert [path.name for path in tmp_path.iterdir()] == ["entry"]


def test_leftovers_of_another_name_stay_and_those_without_a_lock_go(tmp_path):
    for name in (".a[b].01234567.tmp", ".a.01234567.tmp"):
        (tmp_path / name).mkdir()
    remove_leftovers(tmp_path, "a[b]")
    assert [path.name for path in tmp_path.iterdir()] == [".a.01234567.tmp"]


def test_a_lock_that_is_held_is_an_error_and_free_after_the_block(tmp_path):
    with locked(tmp_path / "lock"), pytest.raises(LockedError), locked(tmp_path / "lock"):
        pass
    with locked(tmp_path / "lock"):
        assert (tmp_path / "lock").exists()


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP])
def test_without_locks_on_a_file_system_only_an_optional_lock_is_gone_without(tmp_path, monkeypatch, number):
    def refuse(file, operation):
        raise OSError(number, "no locks here")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with locked(tmp_path / "lock", is_optional=True), temporary_folder(tmp_path, "a") as folder:
        assert folder.is_dir()
    with pytest.raises(OSError, match="no locks here"), locked(tmp_path / "lock"):
        pass


def test_a_process_that_waits_is_told_again_and_again(tmp_path, monkeypatch):
    monkeypatch.setattr("pretrieve.artifacts.locks.POLL_S", 0.02)
    held, told = ExitStack(), []
    held.enter_context(locked(tmp_path / "lock"))

    def on_wait():
        told.append(1)
        if len(told) == 3:
            held.close()

    with locked(tmp_path / "lock", on_wait=on_wait):
        assert len(told) == 3
