"""The record of a trial in files of its own, so that no tracking server can slow a trial or make it fail.

Each trial has two files. Its processes append to `<key>.jsonl`; its driver, which may be on another node, appends to
`<key>.driver`. Each line has its checksum and its length, so that damage is found and never read as a number.
"""

from __future__ import annotations

import json
import logging
import os
import re
import socket
import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pretrieve.errors import DamagedSpoolError, UserError
from pretrieve.training.trial_spec import TrialSpec

Outcome = Literal["finished", "diverged", "stopped", "failed"]
"""`diverged` is a result of the configuration, `stopped` an end by the search, and `failed` is to be tried again."""

RESULTS: frozenset[Outcome] = frozenset(("finished", "diverged", "stopped"))
"""Outcomes that are results: the trial does not run again, unless a stopped one is to be trained to its last epoch."""

FailureKind = Literal["node lost", "process lost", "out of memory", "hung", "disk full", "program error"]

SUFFIX, DRIVER_SUFFIX = ".jsonl", ".driver"

_LINE = re.compile(rb"([0-9a-f]{8}) ([0-9]+) (.*)")
_CUT_HEADER = re.compile(rb"[0-9a-f]{1,8}|[0-9a-f]{8} [0-9]*")

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class SpooledStart:
    """The start of an attempt on a worker; all times are in milliseconds since 1970."""

    worker: str  # as `this_worker` names it
    time_ms: int
    made_with: Mapping[str, str] = field(default_factory=dict)  # of a refit: machine, device, threads and versions


@dataclass(frozen=True)
class SpooledEpoch:
    """Metrics of one epoch, by the names of `schema`; epochs count from 1 and are the steps of the metrics."""

    epoch: int
    time_ms: int
    metrics: Mapping[str, float]


@dataclass(frozen=True)
class SpooledEnd:
    """The end of a trial."""

    outcome: Outcome
    time_ms: int
    metrics: Mapping[str, float]  # final ones, such as the test score of a refit
    message: str  # why it diverged, was stopped or failed; empty otherwise
    failure: FailureKind | None = None  # None unless it failed


SpoolLine = SpooledStart | SpooledEpoch | SpooledEnd


@dataclass(frozen=True)
class Begun:
    """The driver's start of a trial, with its whole configuration by the names of MLflow's parameters."""

    spec: TrialSpec
    parameters: Mapping[str, Any]


@dataclass(frozen=True)
class Interruption:
    """The end of a process before its trial ended, with Ray's message."""

    kind: FailureKind
    message: str
    time_ms: int


class Spool:
    """The file of one trial, written by the trial and read by the ledger.

    A trial that resumes from an earlier checkpoint and repeats an epoch adds no second line for it. The file is made
    with the first line. A damaged file is set aside. `num_ends` counts the attempts that had ended when this object was
    made, and `outcome` is that of the last of them, or None.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            lines = read_spool(path)
        except DamagedSpoolError as error:
            set_aside(error, logger.warning)
            lines = []
        self._last_epoch = last_epoch(lines)
        ends = [line.outcome for line in lines if isinstance(line, SpooledEnd)]
        self.outcome: Outcome | None = ends[-1] if ends else None
        self.num_ends = len(ends)

    def write_start(self, worker: str, made_with: Mapping[str, str] | None = None) -> None:
        """Append that an attempt begins; `made_with` says what a refit is made with."""
        _append(self._path, {"worker": worker, **({"made_with": dict(made_with)} if made_with else {})})

    def write_epoch(self, epoch: int, metrics: Mapping[str, float]) -> None:
        """Append the metrics of an epoch, unless they are there already."""
        if epoch > self._last_epoch:
            _append(self._path, {"epoch": epoch, "metrics": dict(metrics)})
            self._last_epoch = epoch

    def write_end(
        self, outcome: Outcome, metrics: Mapping[str, float], message: str = "", *, failure: FailureKind | None = None
    ) -> None:
        """Append the end of the trial."""
        end = {"outcome": outcome, "metrics": dict(metrics), "message": message, "last_epoch": self._last_epoch}
        _append(self._path, end if failure is None else {**end, "failure": failure})


class DriverSpool:
    """The driver's part of a trial's spool, in a file beside it."""

    def __init__(self, spool_path: Path) -> None:
        self._path = spool_path.with_suffix(DRIVER_SUFFIX)

    def write_begun(self, begun: Begun) -> None:
        """Append the start of the trial; if the driver is killed before it sends this, the next driver does."""
        _append(self._path, {"spec": begun.spec.model_dump(mode="json"), "parameters": dict(begun.parameters)})

    def write_interruption(self, kind: FailureKind, message: str) -> None:
        """Append the end of the trial's process before that of the trial."""
        _append(self._path, {"kind": kind, "message": message})

    def begun(self) -> Begun | None:
        """Return the last start of the trial; None if it is not known."""
        found = [fields for fields in self._lines() if "spec" in fields]
        return Begun(TrialSpec.model_validate(found[-1]["spec"]), found[-1]["parameters"]) if found else None

    def interruptions(self, *, since_ms: int = 0) -> list[Interruption]:
        """Return the interruptions since a time, oldest first."""
        found = [Interruption(**fields) for fields in self._lines() if "kind" in fields]
        return [each for each in found if each.time_ms >= since_ms]

    def _lines(self) -> list[dict[str, Any]]:
        try:
            return [fields for _, fields in _whole_lines(self._path)]
        except DamagedSpoolError as error:
            set_aside(error, logger.warning)
            return []


def read_spool(path: Path) -> list[SpoolLine]:
    """Read the whole lines of a spool; a line that a killed process or a full disk cut short is skipped.

    Two processes may have written it, because a process on a node that was cut off from the cluster runs on for a while
    beside its replacement. Both report the same, so an epoch counts once, and a result is the end.

    Raises:
      DamagedSpoolError: a line is neither whole nor cut short by its writer, or a result lacks its last epoch.
      UserError: version 0.1 wrote the spool.
    """
    lines: list[SpoolLine] = []
    epoch = 0
    for number, fields in _whole_lines(path):
        line = _parse(fields)
        if isinstance(line, SpooledEpoch):
            if line.epoch <= epoch:
                continue
            epoch = line.epoch
        lines.append(line)
        if isinstance(line, SpooledEnd) and line.outcome in RESULTS:
            if fields["last_epoch"] > epoch:
                # The lines of the last epochs were cut, so the last score read is not that of the last epoch.
                raise DamagedSpoolError(path, number)
            break
    return lines


def set_aside(error: DamagedSpoolError, notice: Callable[[str], None]) -> None:
    """Rename a damaged spool and pass a message to `notice`; the trial then has no spool."""
    aside = error.path.with_name(f"{error.path.name}.damaged")
    with suppress(FileNotFoundError):  # another reader was faster
        error.path.replace(aside)
    notice(f"{error}; it is kept as {aside.name}, and the trial goes on from its checkpoint or starts again")


def last_epoch(lines: Sequence[SpoolLine]) -> int:
    """Return the last epoch of a spool; 0 if it has none."""
    return max((line.epoch for line in lines if isinstance(line, SpooledEpoch)), default=0)


def latest_end(lines: Sequence[SpoolLine]) -> SpooledEnd | None:
    """Return the last end, or None if there is none or another attempt started after it.

    An epoch after the end does not count: it comes from a process that was cut off.
    """
    last = next((line for line in reversed(lines) if not isinstance(line, SpooledEpoch)), None)
    return last if isinstance(last, SpooledEnd) else None


def this_worker() -> str:
    """Name this process for people: its node, and the GPUs in CUDA_VISIBLE_DEVICES, which Ray sets."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    gpus = [name.strip() for name in visible.split(",") if name.strip() not in ("", "-1", "NoDevFiles")]
    node = socket.gethostname()
    return f"{node} · GPU {' + '.join(gpus)}" if gpus else node


def _append(path: Path, fields: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"time_ms": time.time_ns() // 1_000_000, **fields}).encode()
    # The first line break ends a line that was cut short. Nothing is ever removed, because a process that was cut off
    # from the cluster may still write to the same file.
    with path.open("ab") as file:
        file.write(b"\n%08x %d %s\n" % (zlib.crc32(text), len(text), text))


def _whole_lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    try:
        parts = path.read_bytes().split(b"\n")
    except FileNotFoundError:  # none yet, or sent and removed
        return
    if next(filter(None, parts), b"").startswith(b'{"'):
        raise older_version(path)
    for number, part in enumerate(parts, start=1):
        if not part:
            continue
        whole = _LINE.fullmatch(part)
        if whole and int(whole[2]) == len(whole[3]) and int(whole[1], 16) == zlib.crc32(whole[3]):
            yield number, json.loads(whole[3])
            continue
        # An empty line separates two whole lines, so no empty line follows a line that was cut short.
        is_cut = int(whole[2]) > len(whole[3]) if whole else _CUT_HEADER.fullmatch(part) is not None
        if not is_cut or (number < len(parts) and not parts[number]):
            raise DamagedSpoolError(path, number)


def _parse(fields: dict[str, Any]) -> SpoolLine:
    if "worker" in fields:
        return SpooledStart(**fields)
    if "epoch" in fields:
        return SpooledEpoch(**fields)
    return SpooledEnd(**{name: value for name, value in fields.items() if name != "last_epoch"})


def older_version(path: Path) -> UserError:
    """Return the error for a file of version 0.1."""
    return UserError(
        f"a spool must be of this version, but version 0.1 left {path}: run the study again in a fresh folder "
        "(another `name` or `storage`)"
    )
