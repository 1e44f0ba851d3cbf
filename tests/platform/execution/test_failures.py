"""What becomes of trials whose processes end, hang or raise, on a real cluster."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
from ray import cloudpickle

from pretrieve.execution.compute import TrialResources
from pretrieve.execution.heartbeat import Heartbeat
from pretrieve.execution.retries import kind_of_error
from pretrieve.execution.stored_rows import StoredRows
from pretrieve.execution.trial_task import TrialTask
from pretrieve.execution.tune_events import TrialWatcher, last_error
from pretrieve.execution.tuner import run_tasks
from pretrieve.tracking.spool import DriverSpool, FailureKind, Spool, SpooledEnd, SpooledEpoch, read_spool
from pretrieve.training.settings import TrainingSettings

MakeTask = Callable[..., TrialTask]
LONG = TrainingSettings(epochs=40, batch_size=8)


class Watcher(TrialWatcher):
    """Notes what it is told, and says how trials ended as the spools do."""

    def __init__(self) -> None:
        self.interrupted: list[tuple[str, FailureKind]] = []
        self.skipped: list[str] = []
        self.messages: list[str] = []

    def trial_interrupted(self, task: TrialTask, kind: FailureKind, message: str) -> None:
        self.interrupted.append((task.spec.key, kind))
        self.messages.append(message)

    def trial_ended(self, task: TrialTask) -> FailureKind | None:
        return end_of(task).failure

    def trial_skipped(self, task: TrialTask) -> None:
        self.skipped.append(task.spec.key)


def end_of(task: TrialTask) -> SpooledEnd:
    end = read_spool(task.spool_path)[-1]
    assert isinstance(end, SpooledEnd)
    return end


def signal_the_trial(task: TrialTask, number: signal.Signals) -> None:
    """Send a signal to the process that trains, once it has saved its first epoch."""

    def wait_and_send() -> None:
        while not task.checkpoint_path.exists():
            time.sleep(0.01)
        for process in psutil.Process().children(recursive=True):
            with contextlib.suppress(psutil.Error):
                if "ImplicitFunc" in " ".join(process.cmdline()):
                    os.kill(process.pid, number)

    threading.Thread(target=wait_and_send, daemon=True).start()


@pytest.mark.usefixtures("ray_cluster")
@pytest.mark.parametrize(("number", "kind"), [(signal.SIGKILL, "process lost"), (signal.SIGSTOP, "hung")])
def test_a_trial_whose_process_ends_or_hangs_goes_on_in_another(
    number: signal.Signals, kind: FailureKind, make_task: MakeTask, tmp_path: Path
) -> None:
    task = make_task(key=f"disturbed-{number}", training=LONG).model_copy(update={"max_silence_s": 20.0})
    signal_the_trial(task, number)
    watcher = Watcher()
    run_tasks([task], TrialResources(1, 0), tmp_path / "tune", watcher)
    assert watcher.interrupted == [(task.spec.key, kind)]
    assert end_of(task).outcome == "finished"
    assert [line.kind for line in DriverSpool(task.spool_path).interruptions()] == [kind]
    epochs = [line.epoch for line in read_spool(task.spool_path) if isinstance(line, SpooledEpoch)]
    assert epochs == list(range(1, 41))
    assert Heartbeat(task.spool_path).seen_at() is None


@pytest.mark.usefixtures("ray_cluster")
def test_a_program_error_stops_its_cell_and_no_other(make_task: MakeTask, tmp_path: Path) -> None:
    broken = [
        make_task(key=f"broken-{n}").model_copy(update={"train": StoredRows(folders=(Path("gone"),))}) for n in range(4)
    ]
    sound = [make_task(key="sound")]
    sound = [
        task.model_copy(update={"spec": task.spec.model_copy(update={"target": "another target"})}) for task in sound
    ]
    watcher = Watcher()
    run_tasks([*broken, *sound], TrialResources(2, 0), tmp_path / "tune", watcher)
    assert end_of(broken[0]).failure == "program error"
    assert "FileNotFoundError" in end_of(broken[0]).message
    assert watcher.skipped == [task.spec.key for task in broken[1:]]
    assert not any(Path(task.spool_path).exists() for task in broken[1:])
    assert Spool(sound[0].spool_path).outcome == "finished"


@pytest.mark.usefixtures("ray_cluster")
def test_a_trial_that_cannot_even_start_ends_with_its_error(make_task: MakeTask, tmp_path: Path) -> None:
    task = make_task(key="unstartable")
    task.spool_path.parent.mkdir(parents=True, exist_ok=True)
    task.spool_path.mkdir()  # a spool that cannot be read raises outside of what a trial records
    watcher = Watcher()
    watcher.trial_ended = lambda task: "program error"  # type: ignore[method-assign]
    lost: list[str] = []
    watcher.trial_lost = lambda task, reason: lost.append(reason)  # type: ignore[method-assign]
    run_tasks([task], TrialResources(1, 0), tmp_path / "tune", watcher)
    assert [kind for _, kind in watcher.interrupted].count("program error") == 2
    assert len(lost) == 1
    assert "IsADirectoryError" in lost[0]


class AskingError(Exception):
    """Cannot be unpickled: it wants two arguments and hands on one."""

    def __init__(self, first: str, second: str) -> None:
        super().__init__(first + second)


@pytest.mark.parametrize("error", [MemoryError("all of it"), AskingError("not ", "unpickled")])
def test_the_error_is_read_where_tune_wrote_it(error: Exception, tmp_path: Path) -> None:
    written, words = tmp_path / "error.pkl", tmp_path / "error.txt"
    written.write_bytes(cloudpickle.dumps(error))
    words.write_text(f"Failure # 1\n{error}\n")
    trial = SimpleNamespace(pickled_error_file=str(written), error_file=str(words))
    read = last_error(trial)
    assert str(error) in str(read)
    assert kind_of_error(read) == ("out of memory" if isinstance(error, MemoryError) else "program error")
    assert last_error(SimpleNamespace(pickled_error_file=None, error_file=None)) is None


def test_a_silent_trial_writes_down_where_it_stands(tmp_path: Path) -> None:
    heartbeat = Heartbeat(tmp_path / "key.jsonl")
    with heartbeat.started(0.2) as beat:
        beat()
        assert heartbeat.seen_at() is not None
        time.sleep(0.5)
        assert "test_a_silent_trial_writes_down_where_it_stands" in heartbeat.stack()
    assert heartbeat.seen_at() is None
    assert heartbeat.stack() == ""
