"""One trial or refit, as MLflow has it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

TrialState = Literal["running", "finished", "diverged", "stopped", "failed"]


@dataclass(frozen=True)
class Attempt:
    """A stretch of a trial's work in one process; a trial that was cut short and went on has several.

    Attributes:
      worker: node and GPU; empty where it is not recorded.
      start_ms: when it began, milliseconds since 1970.
      end_ms: when it ended or was last heard of; None where it has told nothing since it began.
    """

    worker: str
    start_ms: int
    end_ms: int | None


@dataclass(frozen=True)
class TrialRecord:
    """One trial or refit.

    Attributes:
      key: hash of everything that decides its result.
      run_id: its MLflow run.
      kind: `trial` or `refit`.
      state: `running` also for one that was interrupted.
      hyperparameters: lr, weight_decay, head_lr_ratio; with a source stream source_weight; where the grid varies the
        number of selected units top_k.
      seed: its seed.
      score: validation score of a trial, test score of a refit, in [0, 1]; None unless finished.
      seconds: what it took; 0 while unknown.
      message: why it diverged, was stopped or failed, or how one that finished departs from the protocol; empty
        otherwise.
      failure: what kind of failure it ended in; empty unless it failed.
      interruptions: how often each kind of failure cut its process short, before it was started again.
      stopped_epoch: the epoch after which the search stopped it; None unless stopped.
      stopped_score: its validation score there, in [0, 1]; None unless stopped. It is no score to choose by.
      attempts: what it ran on and when, in order; empty where not even its start is recorded.
      curve: (epoch from 1, validation score in [0, 1]) of a trial; empty where it was not read.
    """

    key: str
    run_id: str
    kind: Literal["trial", "refit"]
    state: TrialState
    hyperparameters: Mapping[str, float]
    seed: int
    score: float | None
    seconds: float
    message: str
    failure: str = ""
    interruptions: Mapping[str, int] = field(default_factory=dict)
    stopped_epoch: int | None = None
    stopped_score: float | None = None
    attempts: tuple[Attempt, ...] = ()
    curve: tuple[tuple[int, float], ...] = ()
