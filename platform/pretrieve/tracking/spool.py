"""What a trial has to tell, appended to a file of its own first: no tracking server can slow or fail a trial."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

Outcome = Literal["finished", "diverged", "failed"]


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
      outcome: `finished`, `diverged` (a result of its configuration) or `failed` (to be tried again).
      time_ms: when, milliseconds since 1970.
      metrics: final figures, such as the test score of a refit.
      message: why it diverged or failed; empty otherwise.
    """

    outcome: Outcome
    time_ms: int
    metrics: Mapping[str, float]
    message: str


SpoolLine = SpooledEpoch | SpooledEnd


class Spool:
    """The file of one trial, written by the trial and read by the ledger.

    An epoch is written once: a trial that resumes from an earlier checkpoint and repeats an epoch adds no second line.

    Args:
      path: the file; made at the first line.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._cut_partial_line()
        lines = read_spool(path)
        self._last_epoch = max((line.epoch for line in lines if isinstance(line, SpooledEpoch)), default=0)
        ends = [line.outcome for line in lines if isinstance(line, SpooledEnd)]
        self._outcome: Outcome | None = ends[-1] if ends else None

    @property
    def outcome(self) -> Outcome | None:
        """How the trial ended when this spool was opened; None where it had not."""
        return self._outcome

    def write_epoch(self, epoch: int, metrics: Mapping[str, float]) -> None:
        """Append the metrics of an epoch, unless they are there already."""
        if epoch > self._last_epoch:
            self._append({"epoch": epoch, "metrics": dict(metrics)})
            self._last_epoch = epoch

    def write_end(self, outcome: Outcome, metrics: Mapping[str, float], message: str = "") -> None:
        """Append how the trial ended."""
        self._append({"outcome": outcome, "metrics": dict(metrics), "message": message})

    def _append(self, fields: dict[str, Any]) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._cut_partial_line()
        line = json.dumps({"time_ms": time.time_ns() // 1_000_000, **fields})
        with self._path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")

    def _cut_partial_line(self) -> None:
        """Drop what a killed process or a full disk left of a line; the next one starts at its own beginning."""
        if not self._path.exists():
            return
        whole = sum(len(line) for line, _ in _whole_lines(self._path.read_bytes()))
        if whole < self._path.stat().st_size:
            with self._path.open("r+b") as file:
                file.truncate(whole)


def read_spool(path: Path) -> list[SpoolLine]:
    """Read the whole lines of a spool; from the first unreadable one on, nothing is there yet."""
    return [line for _, line in _whole_lines(path.read_bytes())] if path.exists() else []


def _whole_lines(content: bytes) -> Iterator[tuple[bytes, SpoolLine]]:
    for raw in content.splitlines(keepends=True):
        try:
            line = _parse(json.loads(raw))
        except (ValueError, KeyError):
            return
        if not raw.endswith(b"\n"):
            return
        yield raw, line


def _parse(fields: dict[str, Any]) -> SpoolLine:
    if "epoch" in fields:
        return SpooledEpoch(fields["epoch"], fields["time_ms"], fields["metrics"])
    return SpooledEnd(fields["outcome"], fields["time_ms"], fields["metrics"], fields["message"])
