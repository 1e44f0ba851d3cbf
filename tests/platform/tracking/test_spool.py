from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from pretrieve.tracking.spool import Spool, SpooledEnd, SpooledEpoch, SpooledStart, read_spool


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


def test_a_line_cut_by_a_kill_is_passed_over_and_told_again(tmp_path: Path) -> None:
    path = tmp_path / "key.jsonl"
    Spool(path).write_epoch(1, {"a": 1.0})
    with path.open("a") as file:
        file.write('{"time_ms": 5, "epoch": 2, "met')
    assert len(read_spool(path)) == 1
    Spool(path).write_epoch(2, {"a": 2.0})
    assert [line.metrics["a"] for line in read_spool(path)] == [1.0, 2.0]


def test_a_spool_that_was_never_written_is_empty(tmp_path: Path) -> None:
    assert read_spool(tmp_path / "none.jsonl") == []


def test_a_garbled_line_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "key.jsonl"
    Spool(path).write_epoch(1, {"a": 1.0})
    with path.open("a") as file:
        file.write('{"time_ms": 5, "ep{"time_ms": 6, "outcome": "failed"}\n[1]\n\n')
    assert len(read_spool(path)) == 1
    Spool(path).write_epoch(2, {"a": 2.0})
    assert [line.metrics["a"] for line in read_spool(path)] == [1.0, 2.0]


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


def test_a_line_cut_by_a_full_disk_does_not_garble_the_next_one(tmp_path: Path) -> None:
    path = tmp_path / "key.jsonl"
    spool = Spool(path)
    spool.write_epoch(1, {"a": 1.0})
    with path.open("a") as file:
        file.write('{"time_ms": 5, "epo')
    spool.write_end("failed", {}, "no space left")
    assert [type(line).__name__ for line in read_spool(path)] == ["SpooledEpoch", "SpooledEnd"]


def test_start_of_an_attempt_is_a_line_of_its_own_and_hides_no_epoch(tmp_path: Path) -> None:
    path = tmp_path / "key.jsonl"
    Spool(path).write_start("n1 · GPU 0")
    Spool(path).write_epoch(1, {"a": 1.0})
    again = Spool(path)
    again.write_start("n2")
    again.write_epoch(1, {"a": 99.0})
    again.write_epoch(2, {"a": 2.0})
    first, epoch, second, last = read_spool(path)
    assert isinstance(first, SpooledStart)
    assert isinstance(second, SpooledStart)
    assert (first.worker, second.worker) == ("n1 · GPU 0", "n2")
    assert isinstance(epoch, SpooledEpoch)
    assert isinstance(last, SpooledEpoch)
    assert (epoch.metrics, last.metrics) == ({"a": 1.0}, {"a": 2.0})
