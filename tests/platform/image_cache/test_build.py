from itertools import pairwise

import pytest
import torch

from pretrieve.image_cache import build, entries
from pretrieve.image_cache.build import build_entries, missing_entries
from pretrieve.image_cache.cached_images import CachedImages
from pretrieve.image_cache.card import read_card
from pretrieve.image_cache.entries import write_entry


def test_missing_entries_are_those_the_cache_lacks_each_once(make_entry, tmp_path):
    entries = [make_entry(key, 1) for key in "abcab"]
    write_entry(entries[1], tmp_path / "b")
    assert [entry.key for entry in missing_entries(entries, tmp_path)] == ["a", "c"]
    assert [entry.key for entry in missing_entries(entries, tmp_path / "nowhere")] == ["a", "b", "c"]


def test_an_entry_without_its_card_is_missing(make_entry, tmp_path):
    (tmp_path / "a").mkdir()
    assert len(missing_entries([make_entry("a", 1)], tmp_path)) == 1


def test_a_cluster_fills_the_cache_and_progress_counts_images(ray_cluster, make_entry, tmp_path, monkeypatch):
    monkeypatch.setattr(build, "IMAGES_PER_TASK", 5)
    entries = [make_entry(f"entry {k}", 3, seed=k, broken=(1,) if k == 2 else ()) for k in range(5)]
    progress = []
    build_entries(entries, tmp_path, on_progress=lambda done, total: progress.append((done, total)))
    # Bundles of two, two and one entries: a task takes entries until it has at least five images.
    assert progress[0] == (0, 15)
    assert progress[-1] == (15, 15)
    assert sorted(after - before for (before, _), (after, _) in pairwise(progress)) == [3, 6, 6]
    assert missing_entries(entries, tmp_path) == []
    assert len(CachedImages([tmp_path / entry.key for entry in entries])) == 14
    assert read_card(tmp_path / "entry 2").broken[0].startswith("entry 2/1: ")
    assert CachedImages([tmp_path / "entry 4"]).gather(torch.tensor([0])).shape == (1, 8, 8, 3)


def test_several_tasks_share_a_large_entry_and_progress_moves_within_it(ray_cluster, make_entry, tmp_path, monkeypatch):
    monkeypatch.setattr(build, "IMAGES_PER_TASK", 4)
    monkeypatch.setattr(entries, "IMAGES_PER_PART", 4)
    entry = make_entry("a", 18, seed=5, shape=(8, 11), layout="whole")
    progress = []
    build_entries([entry], tmp_path, on_progress=lambda done, total: progress.append(done))
    assert progress[0] == 0
    assert sorted(after - before for before, after in pairwise(progress)) == [2, 4, 4, 4, 4]
    images = CachedImages([tmp_path / "a"])
    assert images.labels.tolist() == list(range(5, 23))
    write_entry(entry, tmp_path / "alone" / "a")
    alone = CachedImages([tmp_path / "alone" / "a"])
    assert torch.equal(images.gather(torch.arange(18)), alone.gather(torch.arange(18)))


def test_what_a_killed_build_left_is_used_or_removed(ray_cluster, make_entry, tmp_path, monkeypatch):
    monkeypatch.setattr(entries, "IMAGES_PER_PART", 4)
    entry = make_entry("a", 8)
    first, second = entry.parts()
    first.write(tmp_path)
    (tmp_path / f".a.{second.name}.0123abcd.tmp").mkdir()
    written = (tmp_path / "a" / first.name / "images.npy").stat().st_mtime_ns
    assert missing_entries([entry], tmp_path) == [entry]
    build_entries([entry], tmp_path, on_progress=lambda done, total: None)
    assert missing_entries([entry], tmp_path) == []
    assert (tmp_path / "a" / first.name / "images.npy").stat().st_mtime_ns == written
    assert list(tmp_path.glob(".*.tmp")) == []


@pytest.mark.parametrize("damage", ["part", "card"])
def test_a_damaged_entry_is_missing_and_built_again_with_a_notice(ray_cluster, make_entry, tmp_path, caplog, damage):
    entries = [make_entry("a", 3), make_entry("b", 3)]
    for entry in entries:
        write_entry(entry, tmp_path / entry.key)
    if damage == "part":
        (tmp_path / "b" / entries[1].parts()[0].name / "images.npy").write_bytes(b"short")
    else:
        (tmp_path / "b" / "card.json").write_text("{", encoding="utf-8")
    missing = missing_entries(entries, tmp_path)
    assert [entry.key for entry in missing] == ["b"]
    build_entries(missing, tmp_path, on_progress=lambda done, total: None)
    assert missing_entries(entries, tmp_path) == []
    assert len(CachedImages([tmp_path / "b"])) == 3
    (notice,) = [record.getMessage() for record in caplog.records]
    assert notice.startswith(f"made again, because it is damaged: {tmp_path / 'b'}")


def test_nothing_to_build_is_done_at_once(ray_cluster, tmp_path):
    progress = []
    build_entries([], tmp_path, on_progress=lambda done, total: progress.append((done, total)))
    assert progress == [(0, 0)]


def test_a_task_that_cannot_write_ends_the_build_with_its_reason(ray_cluster, make_entry, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"):
        build_entries([make_entry("a", 1)], tmp_path / "file", on_progress=lambda done, total: None)
