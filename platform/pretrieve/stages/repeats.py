"""Stage: the repeats of a study, each a walk through all that is drawn anew."""

from __future__ import annotations

from pretrieve.stages._base import Stage
from pretrieve.stages.cells import CellsStage
from pretrieve.stages.context import Context
from pretrieve.stages.refits import RefitsStage, StudyResults, record_cells, remove_leftovers
from pretrieve.stages.relationships import find_study_inputs


class RepeatsStage(Stage[tuple[StudyResults, ...]]):
    """Walks through the later repeats, one after the other; returns the results of those that were begun."""

    name = "repeats"
    place = 105
    is_shared = True

    def load(self, context: Context) -> None:
        """Return None: each repeat finds for itself what it has in the store."""
        return

    def make(self, context: Context) -> tuple[StudyResults, ...]:
        """Walk through the repeats until the budget is used up; record the cells after each.

        Raises:
          ResourceError: the cluster does not have what a trial asks for.
        """
        results: list[StudyResults] = []
        num_draws = context.settings.repeats.draws
        for walk in context.repeats():
            if walk.repeat:
                if context.budget.used_up(context.ledger.finished) is not None and not _is_begun(walk):
                    context.clock.notice(f"{context.budget.reached}: {num_draws - walk.repeat} repeats are not begun")
                    break
                context.clock.observer.repeat_started(walk.repeat + 1, num_draws)
                walk.walk()
            results.append(walk.get(RefitsStage))
            record_cells(results, context.ledger)
        context.ledger.end_open()
        if len(results) == num_draws:  # else the checkpoints of a repeat that is not begun again stay
            unfinished = {task.spec.key for result in results for task in result.missing}
            if removed := remove_leftovers(context.settings.folder, unfinished):
                context.clock.notice(removed)
        return tuple(results)


def _is_begun(walk: Context) -> bool:
    """Return whether a trial or a refit of a repeat has a result; all that they read is in the store then."""
    if any(find_study_inputs(each) is None for each in (walk, *walk.folds())):
        return False
    finished, results = walk.ledger.finished, walk.get(CellsStage).results()
    return any(task.spec.key in finished for each in results for task in (*each.cell.trials, *each.all_refits))


def is_whole(context: Context) -> bool:
    """Return whether every trial and refit of every repeat has a result."""
    results = context.get(RepeatsStage)
    return len(results) == context.settings.repeats.draws and all(result.is_whole for result in results)
