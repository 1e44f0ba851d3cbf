"""What a trial has to tell, appended to a file of its own first: no tracking server can slow or fail a trial."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pretrieve.tracking.interruptions import FailureKind

Outcome = Literal["finished", "diverged", "stopped", "failed"]

RESULTS: frozenset[Outcome] = frozenset(("finished", "diverged", "stopped"))
"""Ends that are results: the trial does not run again, unless one that was stopped is asked for to its last epoch."""


@dataclass(frozen=True)
class SpooledStart:
    """That an attempt at the trial began.

    Attributes:
      worker: where.
      time_ms: when, milliseconds since 1970.
    """

    worker: str
    time_ms: int


@dataclass(frozen=True)
class SpooledEpoch:
    """Metrics of one epoch.

    Attributes:
      epoch: counted from 1; the step of the metrics.
      time_ms: when they were measured, milliseconds since 1970.
      metrics: by name, as design.md's record names them.
    """

    epoch: int
    time_ms: int
    metrics: Mapping[str, float]


@dataclass(frozen=True)
class SpooledEnd:
    """How a trial ended.

    Attributes:
      outcome: `finished`, `diverged` (a result of its configuration), `stopped` (before its last epoch, by the search)
        or `failed` (to be tried again).
      time_ms: when, milliseconds since 1970.
      metrics: final figures, such as the test score of a refit.
      message: why it diverged, was stopped or failed; empty otherwise.
      failure: what kind of failure; None unless it failed.
    """

    outcome: Outcome
    time_ms: int
    metrics: Mapping[str, float]
    message: str
    failure: FailureKind | None = None


SpoolLine = SpooledStart | SpooledEpoch | SpooledEnd


class Spool:
    """The file of one trial, written by the trial and read by the ledger.

    A trial that resumes from an earlier checkpoint and repeats an epoch adds no second line.

    Args:
      path: the file; made at the first line.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        lines = read_spool(path)
        self._last_epoch = max((line.epoch for line in lines if isinstance(line, SpooledEpoch)), default=0)
        ends = [line.outcome for line in lines if isinstance(line, SpooledEnd)]
        self._outcome: Outcome | None = ends[-1] if ends else None
        self._num_ends = len(ends)

    @property
    def num_ends(self) -> int:
        """How many attempts had told their end when this spool was opened."""
        return self._num_ends

    @property
    def outcome(self) -> Outcome | None:
        """The last end that was told when this spool was opened, of whichever attempt; None where there was none."""
        return self._outcome

    def write_start(self, worker: str) -> None:
        """Append that an attempt begins."""
        self._append({"worker": worker})

    def write_epoch(self, epoch: int, metrics: Mapping[str, float]) -> None:
        """Append the metrics of an epoch, unless they are there already."""
        if epoch > self._last_epoch:
            self._append({"epoch": epoch, "metrics": dict(metrics)})
            self._last_epoch = epoch

    def write_end(
        self,
        outcome: Outcome,
        metrics: Mapping[str, float],
        message: str = "",
        *,
        failure: FailureKind | None = None,
    ) -> None:
        """Append how the trial ended; `failure` says what kind of failure where it failed."""
        end = {"outcome": outcome, "metrics": dict(metrics), "message": message}
        self._append(end if failure is None else {**end, "failure": failure})

    def _append(self, fields: dict[str, Any]) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        line = json.dumps({"time_ms": time.time_ns() // 1_000_000, **fields})
        # A line of its own also where a killed process or a full disk left half of one. Nothing is ever taken back: a
        # process that was cut off from the cluster may be writing the same file.
        with self._path.open("ab") as file:
            file.write(f"\n{line}\n".encode())


def read_spool(path: Path) -> list[SpoolLine]:
    """Read the whole lines of a spool. What a killed process or a full disk left of a line is passed over.

    Two processes may have written it: one on a node that was cut off from the cluster runs on for a while beside the
    one that took its place. They tell the same, so an epoch counts once, and a result is the end.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:  # none yet, or delivered and put away
        return []
    lines: list[SpoolLine] = []
    last_epoch = 0
    for line in _whole_lines(content):
        if isinstance(line, SpooledEpoch):
            if line.epoch <= last_epoch:
                continue
            last_epoch = line.epoch
        lines.append(line)
        if isinstance(line, SpooledEnd) and line.outcome in RESULTS:
            break
    return lines


def latest_end(lines: Sequence[SpoolLine]) -> SpooledEnd | None:
    """Return the last end, unless another attempt started after it; None where there is none.

    An epoch after it does not count: a process that was cut off told it.
    """
    for line in reversed(lines):
        if isinstance(line, SpooledEnd):
            return line
        if isinstance(line, SpooledStart):
            return None
    return None


def _whole_lines(content: bytes) -> Iterator[SpoolLine]:
    *ended, _ = content.split(b"\n")  # the last one is being written, or never will be
    for raw in ended:
        try:
            yield _parse(json.loads(raw))
        except (ValueError, KeyError, TypeError):
            continue


def _parse(fields: dict[str, Any]) -> SpoolLine:
    if "worker" in fields:
        return SpooledStart(fields["worker"], fields["time_ms"])
    if "epoch" in fields:
        return SpooledEpoch(fields["epoch"], fields["time_ms"], fields["metrics"])
    return SpooledEnd(fields["outcome"], fields["time_ms"], fields["metrics"], fields["message"], fields.get("failure"))
