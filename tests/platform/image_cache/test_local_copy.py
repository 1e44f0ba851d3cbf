from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
import torch
from filelock import FileLock

from pretrieve.errors import DamagedArtifactError
from pretrieve.image_cache import local_copy as module
from pretrieve.image_cache.cached_images import CachedImages
from pretrieve.image_cache.card import read_card, write_card
from pretrieve.image_cache.entries import write_entry
from pretrieve.image_cache.local_copy import local_copy


@pytest.fixture
def folders(make_entry, tmp_path):
    """Two finished entries."""
    entries = [make_entry(key, 4, seed=seed, shape=(8, 12), layout="whole") for key, seed in (("a", 0), ("b", 10))]
    for entry in entries:
        write_entry(entry, tmp_path / "cache" / entry.key)
    return tuple(tmp_path / "cache" / entry.key for entry in entries)


@pytest.fixture
def scratch(tmp_path):
    return tmp_path / "disk" / "scratch"


def _images(entry):
    return entry / "rows-00000000-00000004" / "images.npy"


def test_without_a_local_folder_the_entries_are_read_where_they_are(folders):
    assert local_copy(list(folders), None) == folders


def test_copies_hold_what_the_entries_hold_in_the_same_order(folders, scratch):
    copies = local_copy(folders, scratch)
    assert copies == (scratch / "a", scratch / "b")
    copied, original = CachedImages(copies), CachedImages(folders)
    assert torch.equal(copied.gather(torch.arange(8)), original.gather(torch.arange(8)))
    assert torch.equal(copied.labels, original.labels)
    assert torch.equal(copied.aspects, original.aspects)
    assert local_copy(folders[::-1], scratch) == copies[::-1]


def test_a_copy_is_made_once_however_many_ask_at_a_time(folders, scratch, monkeypatch):
    made = []
    make_copy = module._make_copy
    monkeypatch.setattr(module, "_make_copy", lambda entry, *others: made.append(entry) or make_copy(entry, *others))
    with ThreadPoolExecutor(8) as threads:
        results = list(threads.map(lambda _: local_copy(folders, scratch), range(16)))
    assert set(results) == {(scratch / "a", scratch / "b")}
    assert sorted(made) == list(folders)


def test_a_damaged_copy_and_the_remains_of_a_killed_copier_are_replaced(folders, scratch):
    local_copy(folders, scratch)
    _images(scratch / "a").write_bytes(b"short")
    (scratch / ".a.tmp").mkdir()
    (scratch / ".a.tmp" / "remains").touch()
    (scratch / "b" / "card.json").unlink()
    copies = local_copy(folders, scratch)
    assert len(CachedImages(copies)) == 8
    assert not (scratch / ".a.tmp").exists()


def test_an_entry_that_is_damaged_is_named_and_not_copied(folders, scratch):
    content = bytearray(_images(folders[0]).read_bytes())
    content[300] ^= 1
    _images(folders[0]).write_bytes(content)
    with pytest.raises(DamagedArtifactError, match=f"{_images(folders[0])} was changed"):
        local_copy(folders, scratch)
    assert not (scratch / "a").exists()
    assert not (scratch / ".a.tmp").exists()


def test_an_entry_that_is_not_there_is_named(tmp_path, scratch):
    with pytest.raises(FileNotFoundError, match="absent"):
        local_copy([tmp_path / "cache" / "absent"], scratch)


def test_a_disk_without_room_for_an_entry_says_how_much_it_needs(folders, scratch):
    card = read_card(folders[0])
    write_card(folders[0], replace(card, num_images=8 * 10**12 // (3 * card.size**2)))
    with pytest.raises(OSError, match=r"must have 8000\.0 GB free for cached images, but has .* empty .*scratch"):
        local_copy(folders, scratch)


def test_a_long_copy_says_that_it_goes_on(folders, scratch, monkeypatch):
    monkeypatch.setattr("pretrieve.image_cache.local_copy.COPIED_AT_ONCE", 1_000)
    told = []
    local_copy(folders, scratch, lambda: told.append(1))
    num_bytes = sum(file.stat().st_size for folder in folders for file in folder.rglob("*") if file.is_file())
    assert len(told) >= num_bytes // 1_000


def test_a_process_that_waits_for_anothers_copy_says_so(folders, scratch, monkeypatch):
    monkeypatch.setattr("pretrieve.artifacts.locks.POLL_S", 0.05)
    scratch.mkdir(parents=True)
    lock, told = FileLock(scratch / f".{folders[0].name}.lock"), []
    lock.acquire()

    def progressed():
        told.append(1)
        if len(told) == 3:
            lock.release()

    (copy,) = local_copy(folders[:1], scratch, progressed)
    assert _images(copy).exists()
    assert len(told) > 3
