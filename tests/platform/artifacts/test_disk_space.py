"""What a folder takes; and a full disk is distinguished from other errors, and waited for."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from pretrieve.artifacts.disk_space import disk_use, has_no_space, is_disk_full, write_once_disk_has_space
from pretrieve.backbones.state_dicts import write_weights


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Mount a file system of 1 MB, which only root may."""
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(tmp_path)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("a file system of its own can be mounted by root alone")
    yield tmp_path
    subprocess.run(["umount", "--lazy", str(tmp_path)], check=True)


def test_a_folder_that_is_yet_to_be_made_has_the_space_of_the_one_above(small_disk: Path) -> None:
    below = small_disk / "study" / "spool"
    assert not has_no_space(below)
    (small_disk / "filler").write_bytes(bytes(1_000_000))
    assert has_no_space(below)


def test_weights_that_found_no_room_wait_for_it_and_leave_no_half(small_disk: Path) -> None:
    filler, path = small_disk / "filler", small_disk / "weights.pt"
    filler.write_bytes(bytes(900_000))
    assert not has_no_space(small_disk)
    weights = {"weight": torch.arange(100_000, dtype=torch.float32)}
    with pytest.raises(Exception, match=r".") as caught:
        write_weights(weights, path)
    assert is_disk_full(caught.value)
    assert [each.name for each in small_disk.iterdir()] == ["filler"]
    told: list[int] = []

    def make_room() -> None:
        told.append(1)
        filler.unlink(missing_ok=True)

    write_once_disk_has_space(lambda: write_weights(weights, path), make_room)
    assert told == [1]
    assert torch.equal(torch.load(path, weights_only=True)["weight"], weights["weight"])


def test_another_error_is_raised_at_once() -> None:
    def write() -> None:
        raise PermissionError(errno.EACCES, "no")

    with pytest.raises(PermissionError):
        write_once_disk_has_space(write, lambda: pytest.fail("it waited"))
    assert not is_disk_full(PermissionError(errno.EACCES, "no"))


def test_a_full_disk_behind_another_error_is_seen() -> None:
    outer = RuntimeError("could not write")
    outer.__cause__ = OSError(errno.EDQUOT, "quota")
    assert is_disk_full(outer)
    assert not is_disk_full(RuntimeError("could not write"))


def test_a_folder_is_measured_with_all_in_it_and_no_link_leads_away(tmp_path: Path) -> None:
    sizes = {"elsewhere/large": 500_000, "study/checkpoints/a.pt": 400_000, "study/artifacts/deep/er/x": 50_000}
    for name, size in sizes.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.urandom(size))
    (tmp_path / "study" / "link").symlink_to(tmp_path / "elsewhere")
    assert 450_000 <= disk_use(tmp_path / "study") < 490_000
    assert disk_use(tmp_path / "absent") == 0
