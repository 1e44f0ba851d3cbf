"""The strategy that a study names: what stops and what proposes the trials of one Tune run over all cells."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from pretrieve.search.strategies.early_stopping import SCHEDULERS, CellScheduler, EarlierTrial, Stop
from pretrieve.search.strategies.proposals import CellProblem, CellSearcher, Proposals
from pretrieve.search.strategies.settings import SearchSettings
from pretrieve.search.strategies.tune_config import CellName
from pretrieve.training.settings import Hyperparameters


@dataclass(frozen=True)
class Strategy:
    """A strategy for one Tune run; without a scheduler no trial is stopped, without a searcher all trials are given."""

    scheduler: CellScheduler | None = None
    searcher: CellSearcher | None = None

    def stop_of(self, key: str) -> Stop | None:
        """Return where a trial was stopped; None if it was not."""
        return self.scheduler.stops.get(key) if self.scheduler else None

    def close(self, cell: CellName) -> None:
        """Propose no more trials of a cell."""
        if self.searcher:
            self.searcher.close(cell)


def stopping_strategy(
    settings: SearchSettings,
    num_epochs: int,
    *,
    earlier: Iterable[EarlierTrial] = (),
    begun: Iterable[EarlierTrial] = (),
) -> Strategy:
    """Make the strategy for given trials of `num_epochs`; see `CellScheduler` for `earlier` and `begun`."""
    make_scheduler = SCHEDULERS.get(settings.strategy)
    if make_scheduler is None:
        return Strategy()
    return Strategy(CellScheduler(lambda: make_scheduler(settings, num_epochs), num_epochs, earlier, begun))


def proposing_strategy(
    stopping: Strategy,
    problems: Sequence[CellProblem],
    *,
    plan: Callable[[CellName, Hyperparameters], str],
    outcome_of: Callable[[str], str | None],
) -> Strategy:
    """Add proposals for some cells to a strategy that stops trials; see `CellSearcher` for `plan` and `outcome_of`."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)  # else it writes a line for each study and trial
    stopped = stopping.scheduler.stops if stopping.scheduler else ()
    cells = [Proposals(problem) for problem in problems]
    return Strategy(stopping.scheduler, CellSearcher(cells, stopped=stopped, outcome_of=outcome_of, plan=plan))
