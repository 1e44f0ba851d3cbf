"""Making the strategy that a study names."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from pretrieve.search.strategies._base import CellName, EarlierTrial, MakeScheduler, Strategy
from pretrieve.search.strategies.asha import asha
from pretrieve.search.strategies.cell_scheduler import CellScheduler
from pretrieve.search.strategies.cell_searcher import CellSearcher
from pretrieve.search.strategies.median import median
from pretrieve.search.strategies.optuna import CellProblem, Proposals
from pretrieve.search.strategies.settings import SearchSettings, StrategyName
from pretrieve.training.settings import Hyperparameters

SCHEDULERS: dict[StrategyName, MakeScheduler] = {"asha": asha, "median": median, "optuna": asha}


def stopping_strategy(
    settings: SearchSettings,
    num_epochs: int,
    *,
    earlier: Iterable[EarlierTrial] = (),
    begun: Iterable[EarlierTrial] = (),
) -> Strategy:
    """Make the strategy for given trials.

    Args:
      settings: name and settings of the strategy.
      num_epochs: of a trial that is not stopped.
      earlier: trials of the same cells that ended in earlier runs.
      begun: trials that earlier runs began and this run continues.
    """
    if settings.strategy not in SCHEDULERS:
        return Strategy()
    make_scheduler = SCHEDULERS[settings.strategy]
    scheduler = CellScheduler(lambda: make_scheduler(settings, num_epochs), num_epochs, earlier, begun)
    return Strategy(scheduler=scheduler)


def proposing_strategy(
    stopping: Strategy,
    problems: Sequence[CellProblem],
    *,
    plan: Callable[[CellName, Hyperparameters], str],
    outcome_of: Callable[[str], str | None],
) -> Strategy:
    """Make the strategy that also proposes the trials.

    Args:
      stopping: stops the trials.
      problems: the cells to search.
      plan: records a proposed point and returns its trial as the text in Tune's configuration, see TRIAL.
      outcome_of: returns the outcome of a trial that just ended, by its key.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)  # else it writes a line for each study and trial
    searcher = CellSearcher(
        [Proposals(problem) for problem in problems],
        stopped=stopping.scheduler.stops if stopping.scheduler else (),
        outcome_of=outcome_of,
        plan=plan,
    )
    return Strategy(stopping.scheduler, searcher)
