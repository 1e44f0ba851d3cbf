"""The contract of a search strategy: its scheduler and searcher for the one Tune run over all cells."""

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
"""Target and method. Scores are compared within a cell only, because scores on two targets are not comparable."""

TRIAL = "trial"
"""Name of the trial in Tune's configuration. Its value is one JSON text, because Tune copies the whole grid, value by
value, for each trial: a thousand copies of a thousand records would take longer than the rest of the platform."""

MakeScheduler = Callable[[SearchSettings, int], TrialScheduler]
"""Makes the scheduler of one cell, which reads EPOCH and VAL_SCORE, from the settings and the number of epochs."""


def cell_and_key(config: Mapping[str, Any]) -> tuple[CellName, str]:
    """Read a trial's cell and key from its Tune configuration."""
    spec = json.loads(config[TRIAL])["spec"]
    return (spec["target"], spec["method"]), spec["key"]


@dataclass(frozen=True)
class Stop:
    """The point where a trial was stopped.

    Attributes:
      epoch: its last epoch.
      num_epochs: of a trial that is not stopped.
      score: its validation score at that epoch, in [0, 1].
      seconds: its running time.
    """

    epoch: int
    num_epochs: int
    score: float
    seconds: float

    def describe(self) -> str:
        """Describe it in one line.

        >>> Stop(epoch=3, num_epochs=9, score=0.5, seconds=1.0).describe()
        'stopped after epoch 3 of 9 with a validation score of 50.0%: others of its cell were ahead'
        """
        return (
            f"stopped after epoch {self.epoch} of {self.num_epochs} with a validation score of "
            f"{100 * self.score:.1f}%: others of its cell were ahead"
        )


@dataclass(frozen=True)
class EarlierTrial:
    """A trial with the scores of an earlier run: (epoch, validation score) in the order of the epochs."""

    cell: CellName
    key: str
    scores: Sequence[tuple[int, float]]


@dataclass(frozen=True)
class Strategy:
    """A strategy for one run of Tune.

    Attributes:
      scheduler: stops trials; None runs each trial to its end.
      searcher: proposes trials; None if the trials are given.
    """

    scheduler: CellScheduler | None = None
    searcher: CellSearcher | None = None

    def stop_of(self, key: str) -> Stop | None:
        """Return where a trial was stopped; None if it was not."""
        return self.scheduler.stops.get(key) if self.scheduler else None

    def close(self, cell: CellName) -> None:
        """Propose no more trials of a cell."""
        if self.searcher:
            self.searcher.close(cell)
