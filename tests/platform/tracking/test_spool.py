"""What a trial writes is what is read, whatever a kill, a full disk or a damaged byte does to the file."""

from __future__ import annotations

import logging
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from pretrieve.errors import DamagedSpoolError, UserError
from pretrieve.tracking.spool import (
    Begun,
    DriverSpool,
    Spool,
    SpooledEnd,
    SpooledEpoch,
    SpooledStart,
    read_spool,
    this_worker,
)
from pretrieve.training.settings import Hyperparameters, TrainingSettings
from pretrieve.training.trial_spec import TrialSpec


def test_what_is_written_is_read_in_order(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "folder" / "key.jsonl")
    spool.write_epoch(1, {"val/score": 0.25})
    spool.write_epoch(2, {"val/score": 0.5})
    spool.write_end("finished", {"test/score": 0.75})
    first, second, end = read_spool(tmp_path / "folder" / "key.jsonl")
    assert isinstance(first, SpooledEpoch)
    assert isinstance(second, SpooledEpoch)
    assert isinstance(end, SpooledEnd)
    assert (first.epoch, first.metrics, second.metrics) == (1, {"val/score": 0.25}, {"val/score": 0.5})
    assert (end.outcome, end.metrics, end.message) == ("finished", {"test/score": 0.75}, "")
    assert first.time_ms <= second.time_ms <= end.time_ms


def test_a_resumed_trial_repeats_no_epoch(tmp_path: Path) -> None:
    path = tmp_path / "key.jsonl"
    Spool(path).write_epoch(1, {"a": 1.0})
    Spool(path).write_epoch(2, {"a": 2.0})
    resumed = Spool(path)
    resumed.write_epoch(2, {"a": 99.0})
    resumed.write_epoch(3, {"a": 3.0})
    assert [line.metrics["a"] for line in read_spool(path)] == [1.0, 2.0, 3.0]


@pytest.mark.parametrize("num_bytes", [1, 8, 10, 13, 40])
def test_a_line_cut_by_a_kill_or_a_full_disk_is_passed_over_and_written_again(tmp_path: Path, num_bytes: int) -> None:
    path = tmp_path / "key.jsonl"
    Spool(path).write_epoch(1, {"a": 1.0})
    whole = path.read_bytes()
    Spool(path).write_epoch(2, {"a": 2.0})
    path.write_bytes(whole + path.read_bytes()[len(whole) :][: 1 + num_bytes])
    assert len(read_spool(path)) == 1
    Spool(path).write_epoch(2, {"a": 2.0})
    Spool(path).write_end("failed", {}, "no space left")
    first, second, end = read_spool(path)
    assert isinstance(first, SpooledEpoch)
    assert isinstance(second, SpooledEpoch)
    assert (first.metrics, second.metrics) == ({"a": 1.0}, {"a": 2.0})
    assert isinstance(end, SpooledEnd)


def test_a_spool_that_was_never_written_is_empty(tmp_path: Path) -> None:
    assert read_spool(tmp_path / "none.jsonl") == []


def small_spool(folder: Path) -> Path:
    path = folder / "key.jsonl"
    Spool(path).write_start("n1")
    Spool(path).write_epoch(1, {"val/score": 0.25, "train/loss_target": 1.5})
    Spool(path).write_epoch(2, {"val/score": 0.5})
    Spool(path).write_end("finished", {"cost/seconds": 3.0})
    return path


def test_no_byte_can_change_without_being_found(tmp_path: Path) -> None:
    path = small_spool(tmp_path)
    whole = path.read_bytes()
    for place, byte in enumerate(whole):
        for other in {byte ^ 1, byte ^ 0x20, byte ^ 0x80, ord("\n"), ord("0"), 0} - {byte}:
            path.write_bytes(whole[:place] + bytes([other]) + whole[place + 1 :])
            with pytest.raises(DamagedSpoolError, match=r"line \d+ of .*key.jsonl"):
                read_spool(path)


def test_what_is_left_of_a_spool_that_was_cut_is_what_was_written_first(tmp_path: Path) -> None:
    path = small_spool(tmp_path)
    whole, lines = path.read_bytes(), read_spool(path)
    lengths = []
    for length in range(len(whole) + 1):
        path.write_bytes(whole[:length])
        left = read_spool(path)
        assert left == lines[: len(left)]
        lengths.append(len(left))
    assert lengths == sorted(lengths)
    assert (lengths[0], lengths[-2], lengths[-1]) == (0, 4, 4)


@pytest.mark.parametrize("cut", [slice(60, 90), slice(2, 30), slice(1, 2)])
def test_a_spool_that_lost_bytes_in_its_middle_is_damaged(tmp_path: Path, cut: slice) -> None:
    path = small_spool(tmp_path)
    whole = path.read_bytes()
    path.write_bytes(whole[: cut.start] + whole[cut.stop :])
    with pytest.raises(DamagedSpoolError):
        read_spool(path)


def test_a_result_whose_last_epoch_was_cut_off_before_it_came_is_damage(tmp_path: Path) -> None:
    """Its score would be that of an earlier epoch."""
    path = tmp_path / "key.jsonl"
    spool = Spool(path)
    spool.write_epoch(1, {"a": 1.0})
    first = path.read_bytes()
    spool.write_epoch(2, {"a": 2.0})
    path.write_bytes(first)
    assert len(read_spool(path)) == 1
    spool.write_end("failed", {}, "it is tried again")
    assert len(read_spool(path)) == 2
    spool.write_end("finished", {})
    with pytest.raises(DamagedSpoolError, match="line 6 "):
        read_spool(path)


def test_a_process_that_meets_a_damaged_spool_sets_it_aside_and_writes_another(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = small_spool(tmp_path)
    damaged = path.read_bytes().replace(b"0.25", b"0.75")
    path.write_bytes(damaged)
    with caplog.at_level(logging.WARNING):
        spool = Spool(path)
    assert spool.outcome is None
    spool.write_epoch(1, {"val/score": 0.25})
    assert len(read_spool(path)) == 1
    assert (tmp_path / "key.jsonl.damaged").read_bytes() == damaged
    assert f"line 4 of {path} does not; it is kept as key.jsonl.damaged" in caplog.text


def test_a_spool_of_version_0_1_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "key.jsonl"
    path.write_text('\n{"time_ms": 5, "epoch": 1, "metrics": {"a": 1.0}}\n', encoding="utf-8")
    with pytest.raises(UserError, match=r"version 0.1 left .*key.jsonl: run the study again in a fresh folder"):
        read_spool(path)


def begun(lr: float) -> Begun:
    spec = TrialSpec(
        kind="trial",
        target="birds",
        method="uot",
        objective="joint",
        hyperparameters=Hyperparameters(lr=lr, source_weight=0.3),
        seed=0,
        key="key",
        training=TrainingSettings(),
        metric="top1",
        num_target_classes=3,
        num_source_classes=0,
    )
    return Begun(spec, {"lr": lr, "name": "x"})


def test_driver_writes_how_a_trial_was_begun_last_and_what_interrupted_it(tmp_path: Path) -> None:
    driver = DriverSpool(tmp_path / "key.jsonl")
    assert (driver.begun(), driver.interruptions()) == (None, [])
    driver.write_begun(begun(0.1))
    driver.write_interruption("node lost", "the node has died")
    driver.write_begun(begun(0.2))
    assert driver.begun() == begun(0.2)
    (interruption,) = driver.interruptions()
    assert (interruption.kind, interruption.message) == ("node lost", "the node has died")
    assert driver.interruptions(since_ms=interruption.time_ms + 1) == []
    assert read_spool(tmp_path / "key.jsonl") == []


def test_no_byte_of_what_the_driver_wrote_can_change_without_being_found(tmp_path: Path) -> None:
    DriverSpool(tmp_path / "key.jsonl").write_begun(begun(0.1))
    path = tmp_path / "key.driver"
    whole = path.read_bytes()
    for place, byte in enumerate(whole):
        path.write_bytes(whole[:place] + bytes([byte ^ 1]) + whole[place + 1 :])
        assert DriverSpool(path).begun() is None
        assert not path.exists()


WRITER = """
import sys, time
from pathlib import Path
from pretrieve.tracking.spool import Spool

path, own, other = map(Path, sys.argv[1:])
spool = Spool(path)
own.touch()
while not other.exists():
    time.sleep(0.001)
for epoch in range(1, 1001):
    spool.write_epoch(epoch, {"a": float(epoch)})
"""


def test_two_processes_that_write_at_once_take_nothing_from_each_other(tmp_path: Path) -> None:
    path, one, other = tmp_path / "key.jsonl", tmp_path / "one", tmp_path / "other"
    files = [[path, one, other], [path, other, one]]
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, *map(str, each)]) for each in files]
    assert [writer.wait(timeout=60) for writer in writers] == [0, 0]
    assert [line.metrics["a"] for line in read_spool(path)] == list(range(1, 1001))
    assert len([line for line in path.read_text().splitlines() if line]) == 2_000, "each wrote all that it had to"


def test_start_of_an_attempt_is_a_line_of_its_own_and_hides_no_epoch(tmp_path: Path) -> None:
    path = tmp_path / "key.jsonl"
    Spool(path).write_start("n1 · GPU 0")
    Spool(path).write_epoch(1, {"a": 1.0})
    again = Spool(path)
    again.write_start("n2", {"device": "CPU"})
    again.write_epoch(1, {"a": 99.0})
    again.write_epoch(2, {"a": 2.0})
    first, epoch, second, last = read_spool(path)
    assert isinstance(first, SpooledStart)
    assert isinstance(second, SpooledStart)
    assert (first.worker, second.worker) == ("n1 · GPU 0", "n2")
    assert (first.made_with, second.made_with) == ({}, {"device": "CPU"})
    assert isinstance(epoch, SpooledEpoch)
    assert isinstance(last, SpooledEpoch)
    assert (epoch.metrics, last.metrics) == ({"a": 1.0}, {"a": 2.0})


@pytest.mark.parametrize(
    ("visible", "gpus"), [(None, ""), ("", ""), ("NoDevFiles", ""), ("3", " · GPU 3"), ("0,2", " · GPU 0 + 2")]
)
def test_worker_is_its_node_and_the_gpus_that_it_was_given(
    monkeypatch: pytest.MonkeyPatch, visible: str | None, gpus: str
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert this_worker() == socket.gethostname() + gpus
