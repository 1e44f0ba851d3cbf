"""A study on a real disk that is full in the middle of it: a small file system of its own."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pretrieve.stages.observer import StudyObserver, TrialEvent
from pretrieve.study.settings import StudySettings
from pretrieve.study.walk import run_study

pytestmark = [pytest.mark.long, pytest.mark.usefixtures("ray_cluster")]

FULL_S = 8.0


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """Mount a file system of 200 MB, which only root may."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=200m", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("a file system of its own can be mounted by root alone")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


class FullInBetween(StudyObserver):
    """Fills the disk when the first trial has finished two epochs, and makes room a while after the study said so."""

    def __init__(self, disk: Path) -> None:
        self._filler = disk / "filler"
        self._room: threading.Timer | None = None
        self.notices: list[str] = []
        self.failed: list[TrialEvent] = []
        self.waited_s = 0.0

    def trial_event(self, event: TrialEvent) -> None:
        if event.state == "failed":
            self.failed.append(event)
        if event.kind == "trial" and event.epoch == 2 and self._room is None:
            self._room = threading.Timer(0.0, lambda: None)
            self._fill()

    def noticed(self, message: str) -> None:
        self.notices.append(message)
        if " is full: " in message:
            threading.Timer(FULL_S, lambda: self._filler.unlink(missing_ok=True)).start()

    def _fill(self) -> None:
        with self._filler.open("wb", buffering=0) as file:
            try:
                while file.write(bytes(4096)):
                    pass
            except OSError:
                return


def test_a_full_disk_holds_a_study_up_and_costs_it_nothing(
    disk: Path, make_settings: Callable[..., StudySettings]
) -> None:
    changes = {"targets": ["tiny-a"], "refit": {"num_seeds": 1}, "training": {"epochs": 12, "batch_size": 8}}
    undisturbed = run_study(make_settings(**changes), StudyObserver())
    observer = FullInBetween(disk)
    started = time.monotonic()
    record = run_study(make_settings(**changes, storage=str(disk)), observer)
    assert time.monotonic() - started > FULL_S
    assert any(" is full: what cannot be written waits" in notice for notice in observer.notices)
    assert "the disk has space again, and the study goes on" in observer.notices
    assert observer.failed == []
    assert record.is_finished
    scores = {trial.key: trial.score for cell in record.cells for trial in cell.trials}
    assert scores == {trial.key: trial.score for cell in undisturbed.cells for trial in cell.trials}
    assert all(not trial.interruptions for cell in record.cells for trial in cell.trials)
