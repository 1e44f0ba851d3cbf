"""What of the shared caches may go, and that a study makes again what went."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pretrieve.artifacts.locks import sole_driver
from pretrieve.artifacts.store import CacheItem, cache_items, removable_items, remove_items
from pretrieve.errors import StudyInUseError, UserError

DAY_S = 86_400.0
NOW_S = 100 * DAY_S


def write(path: Path, size: int, used_days_ago: float) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(os.urandom(size))
    os.utime(path, (NOW_S - used_days_ago * DAY_S,) * 2)
    return path


@pytest.fixture
def storage(tmp_path: Path) -> Path:
    """Make caches of known size and age: an entry that is a folder, one that is a file, a half, a lock, a backbone."""
    cache = tmp_path / "cache"
    write(cache / "images" / "old" / "part" / "pixels.bin", 8192, 40)
    write(cache / "images" / "new" / "pixels.bin", 8192, 1)
    write(cache / "images" / ".writers.lock", 0, 90)
    write(cache / "images" / ".half.1234abcd.tmp" / "pixels.bin", 4096, 2)
    write(cache / "selections" / "chosen.json", 4096, 20)
    write(cache / "backbones" / "weights.pt", 4096, 99)
    return tmp_path


def names(items: list[CacheItem]) -> list[str]:
    return [f"{item.kind}/{item.path.name}" for item in items]


def test_entries_are_listed_with_size_and_last_use(storage: Path) -> None:
    items = cache_items(storage / "cache")
    assert names(items) == [
        "backbones/weights.pt", "images/old", "images/.half.1234abcd.tmp", "images/new", "selections/chosen.json"
    ]  # fmt: skip
    old = items[1]
    assert old.num_bytes >= 8192
    assert old.used_s == NOW_S - 40 * DAY_S
    assert cache_items(storage / "absent") == []


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ({"unused_days": 30}, ["images/old", "images/.half.1234abcd.tmp"]),
        ({"unused_days": 10}, ["images/old", "selections/chosen.json", "images/.half.1234abcd.tmp"]),
        ({"unused_days": 10, "kinds": ["selections"]}, ["selections/chosen.json"]),
        ({"unused_days": 10, "kinds": ["backbones"]}, ["backbones/weights.pt"]),
        ({"max_bytes": 10**9}, ["images/.half.1234abcd.tmp"]),
        (
            {"max_bytes": 0},
            ["images/old", "selections/chosen.json", "images/.half.1234abcd.tmp", "images/new"],
        ),
    ],
)
def test_what_may_go_is_half_or_unused_or_too_much(storage: Path, rule: dict[str, object], expected: list[str]) -> None:
    assert names(removable_items(cache_items(storage / "cache"), now_s=NOW_S, **rule)) == expected  # type: ignore[arg-type]


def test_the_least_recently_used_goes_first_and_no_more_than_needed(storage: Path) -> None:
    items = [item for item in cache_items(storage / "cache") if not item.is_half]
    total = sum(item.num_bytes for item in items)
    assert names(removable_items(items, now_s=NOW_S, max_bytes=total - 1)) == ["images/old"]
    assert removable_items(items, now_s=NOW_S, max_bytes=total) == []


def test_a_cache_that_is_not_there_is_an_error_that_names_those_that_are(storage: Path) -> None:
    with pytest.raises(UserError, match="one of backbones, images, selections, but is 'pictures'"):
        removable_items(cache_items(storage / "cache"), now_s=NOW_S, kinds=["pictures"])


def test_files_and_folders_are_removed_and_nothing_else(storage: Path) -> None:
    items = cache_items(storage / "cache")
    remove_items(storage, removable_items(items, now_s=NOW_S, unused_days=10))
    assert names(cache_items(storage / "cache")) == ["backbones/weights.pt", "images/new"]
    assert (storage / "cache" / "images" / ".writers.lock").exists()


def test_nothing_goes_while_a_study_of_the_storage_runs(storage: Path) -> None:
    study = storage / "running"
    study.mkdir()
    items = cache_items(storage / "cache")
    with sole_driver(study), pytest.raises(StudyInUseError, match="running"):
        remove_items(storage, items)
    assert cache_items(storage / "cache") == items
    remove_items(storage, items)
    assert cache_items(storage / "cache") == []
