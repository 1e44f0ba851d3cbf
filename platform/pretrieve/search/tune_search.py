"""What stops and what proposes the trials of one Tune run over all cells, by the strategy that a study names."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from pretrieve.search.early_stopping import CellScheduler, EarlierTrial, Stop
from pretrieve.search.proposals import CellProblem, CellSearcher, Proposals
from pretrieve.search.racing import RaceSearcher
from pretrieve.search.settings import SearchSettings
from pretrieve.search.tune_config import CellName
from pretrieve.training.settings import Hyperparameters


@dataclass(frozen=True)
class TuneSearch:
    """The search of one Tune run; without a scheduler no trial is stopped, without a searcher all trials are given."""

    scheduler: CellScheduler | None = None
    searcher: CellSearcher | RaceSearcher | None = None

    def stop_of(self, key: str) -> Stop | None:
        """Return where a trial was stopped; None if it was not."""
        return self.scheduler.stops.get(key) if self.scheduler else None

    def close(self, cell: CellName) -> None:
        """Propose no more trials of a cell."""
        if self.searcher:
            self.searcher.close(cell)


def stopping_search(
    settings: SearchSettings,
    num_epochs: int,
    *,
    earlier: Iterable[EarlierTrial] = (),
    begun: Iterable[EarlierTrial] = (),
) -> TuneSearch:
    """Make the search of given trials of `num_epochs`; see `CellScheduler` for `earlier` and `begun`."""
    strategy = settings.member
    if not strategy.may_stop:
        return TuneSearch()
    return TuneSearch(CellScheduler(lambda: strategy.scheduler(num_epochs), num_epochs, earlier, begun))


def proposing_search(
    stopping: TuneSearch,
    problems: Sequence[CellProblem],
    *,
    plan: Callable[[CellName, Hyperparameters], str],
    outcome_of: Callable[[str], str | None],
) -> TuneSearch:
    """Add proposals for some cells to a search that may stop trials; see `CellSearcher` for `plan` and `outcome_of`."""
    stopped = stopping.scheduler.stops if stopping.scheduler else ()
    cells = [Proposals(problem) for problem in problems]
    return TuneSearch(stopping.scheduler, CellSearcher(cells, stopped=stopped, outcome_of=outcome_of, plan=plan))
