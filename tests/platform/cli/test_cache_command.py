"""`pretrieve cache` as a process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def pretrieve(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pretrieve", "cache", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def test_list_then_try_then_prune(tmp_path: Path) -> None:
    old = tmp_path / "cache" / "images" / "old" / "pixels.bin"
    old.parent.mkdir(parents=True)
    old.write_bytes(bytes(5_000_000))
    os.utime(old, (0, 0))
    storage = ("--storage", str(tmp_path))
    listed = pretrieve("list", *storage)
    assert listed.returncode == 0
    assert "images" in listed.stdout
    assert "1970-01-01" in listed.stdout
    tried = pretrieve("prune", *storage, "--unused-days", "30", "--dry-run")
    assert "Would be removed" in tried.stdout
    assert old.exists()
    pruned = pretrieve("prune", *storage, "--unused-days", "30")
    assert "Removed" in pruned.stdout
    assert not old.parent.exists()


def test_a_prune_without_a_rule_or_a_storage_is_one_message(tmp_path: Path) -> None:
    no_rule = pretrieve("prune", "--storage", str(tmp_path))
    assert (no_rule.returncode, no_rule.stderr.count("\n")) == (2, 1)
    assert "give --unused-days, --max-gb or both" in no_rule.stderr
    no_storage = pretrieve("list", "--storage", str(tmp_path / "absent"))
    assert no_storage.returncode == 2
    assert "absent does not exist" in no_storage.stderr
