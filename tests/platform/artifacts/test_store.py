"""The store finds what is whole, and sets aside what is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from pretrieve.artifacts.store import ArtifactStore, is_kept


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    """A store that holds one artifact."""
    store = ArtifactStore(tmp_path)
    with store.write("things", "a") as temporary:
        temporary.write_text("content", encoding="utf-8")
    return store


def test_what_was_written_is_found_under_its_kind_and_name(store: ArtifactStore) -> None:
    assert store.find("things", "a") == store.root / "things" / "a"
    assert store.find("things", "b") is None
    assert store.find("others", "a") is None


def test_a_damaged_file_is_set_aside_and_named(store: ArtifactStore, caplog: pytest.LogCaptureFixture) -> None:
    path = store.path("things", "a")
    path.write_text("content", encoding="utf-8")  # without its seal
    assert store.find("things", "a") is None
    assert not path.exists()
    (aside,) = (store.root / "things").iterdir()
    assert aside.name.startswith(".a.damaged-")
    (message,) = [record.getMessage() for record in caplog.records]
    assert message == (f"made again, because it is damaged: {path} has 7 bytes, too few for a seal (now {aside})")
    assert not is_kept(path), "and it is not an error that it is gone"
