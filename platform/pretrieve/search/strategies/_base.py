"""The contract of a strategy: what it hands to the one Tune run over all cells."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ray.tune.schedulers import TrialScheduler

from pretrieve.search.strategies.settings import SearchSettings

if TYPE_CHECKING:
    from pretrieve.search.strategies.cell_scheduler import CellScheduler
    from pretrieve.search.strategies.cell_searcher import CellSearcher

CellName = tuple[str, str]
"""Target and method: scores are compared within a cell alone, as those of two targets say nothing of each other."""

TRIAL = "trial"
"""What Tune's configuration holds a trial by: one text. Tune copies the whole grid, value by value, for each trial, and
copies of a thousand records for each of a thousand trials would take longer than all else that the platform does."""

MakeScheduler = Callable[[SearchSettings, int], TrialScheduler]
"""Makes the scheduler of one cell from the settings and the number of epochs; it reads EPOCH and VAL_SCORE."""


def cell_and_key(config: Mapping[str, Any]) -> tuple[CellName, str]:
    """Read a trial's cell and key from Tune's configuration of it."""
    spec = json.loads(config[TRIAL])["spec"]
    return (spec["target"], spec["method"]), spec["key"]


@dataclass(frozen=True)
class Stop:
    """Where a trial was stopped.

    Attributes:
      epoch: the last one it trained.
      num_epochs: those that it would have trained.
      score: its validation score there, in [0, 1].
      seconds: what it took.
    """

    epoch: int
    num_epochs: int
    score: float
    seconds: float

    def describe(self) -> str:
        """Describe it in a line.

        >>> Stop(epoch=3, num_epochs=9, score=0.5, seconds=1.0).describe()
        'stopped after epoch 3 of 9 with a validation score of 50.0%: others of its cell were ahead'
        """
        return (
            f"stopped after epoch {self.epoch} of {self.num_epochs} with a validation score of "
            f"{100 * self.score:.1f}%: others of its cell were ahead"
        )


@dataclass(frozen=True)
class EarlierTrial:
    """A trial of the cell that has scores of an earlier run.

    Attributes:
      cell: its target and method.
      key: its key.
      scores: (epoch, validation score) in the order of the epochs.
    """

    cell: CellName
    key: str
    scores: Sequence[tuple[int, float]]


@dataclass(frozen=True)
class Strategy:
    """A search that is about to run.

    Attributes:
      scheduler: stops trials; None lets each run to its end.
      searcher: proposes trials; None: the trials are given.
    """

    scheduler: CellScheduler | None = None
    searcher: CellSearcher | None = None

    def stop_of(self, key: str) -> Stop | None:
        """Return where a trial was stopped; None where it was not."""
        return self.scheduler.stops.get(key) if self.scheduler else None

    def close(self, cell: CellName) -> None:
        """Propose nothing more in a cell."""
        if self.searcher:
            self.searcher.close(cell)
