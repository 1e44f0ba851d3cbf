"""Which method gives a target its registered model: chosen by scores of folds, never by test."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from pretrieve.methods import Method
from pretrieve.stages.refits import StudyResults
from pretrieve.stages.study_cells import CellResult
from pretrieve.statistics import simplest_within_one_error
from pretrieve.tracking import schema
from pretrieve.tracking.ledger import Ledger
from pretrieve.tracking.trial_state import TrialState

Scores = Mapping[tuple[int, int], float]
"""The score of a row by repeat and fold."""


def choose_champions(
    repeats: Sequence[StudyResults], ledger: Ledger, method: Callable[[str], Method]
) -> dict[str, CellResult]:
    """Return the cell of each target's champion in the first repeat, from which its model is taken.

    That is the simplest row within one standard error of the best, by the scores of what each row chose, paired over
    folds and repeats, or over repeats where there are no folds. Rows without a test score of the first repeat do not
    compete.
    """
    cells: dict[str, list[tuple[CellResult, ...]]] = {}
    for of_cell in zip(*(repeat.cells for repeat in repeats), strict=True):
        first = of_cell[0]
        if first.best is not None and any(has_score(task.spec.key, ledger.finished) for task in first.refits):
            cells.setdefault(first.cell.target, []).append(of_cell)
    return {target: _champion(competing, ledger, method) for target, competing in cells.items()}


def has_score(key: str, finished: Mapping[str, TrialState]) -> bool:
    """Return whether a trial or refit finished with a score."""
    return key in finished and finished[key].score is not None


def _champion(
    competing: Sequence[tuple[CellResult, ...]], ledger: Ledger, method: Callable[[str], Method]
) -> CellResult:
    in_order = sorted(competing, key=lambda of_cell: _complexity(method(of_cell[0].cell.method)))
    for scores in ([_of_folds(each, ledger) for each in in_order], [_of_repeats(each, ledger) for each in in_order]):
        if shared := sorted(set.intersection(*(set(each) for each in scores))):
            table = np.array([[each[unit] for unit in shared] for each in scores])
            return in_order[simplest_within_one_error(table)][0]
    return in_order[0][0]


def _complexity(row: Method) -> tuple[bool, bool, bool, int]:
    """Order rows from simple to complex: by source images, trained steps, longer training, and hyperparameters."""
    return row.selector is not None, not row.is_fitted, row.longer, len(row.hyperparameters)


def _of_folds(of_cell: Sequence[CellResult], ledger: Ledger) -> Scores:
    return {
        (repeat, fold): score
        for repeat, key in _chosen(of_cell)
        for fold, score in ledger.scores(key, schema.FOLD_SCORE)
    }


def _of_repeats(of_cell: Sequence[CellResult], ledger: Ledger) -> Scores:
    found = {repeat: ledger.finished[key].score for repeat, key in _chosen(of_cell) if key in ledger.finished}
    return {(repeat, 0): score for repeat, score in found.items() if score is not None}


def _chosen(of_cell: Sequence[CellResult]) -> list[tuple[int, str]]:
    """List the trials that a row chose by the first repeat that chose each: later repeats may take its choice."""
    first: dict[str, int] = {}
    for repeat, result in enumerate(of_cell):
        if result.best is not None:
            first.setdefault(result.best.spec.key, repeat)
    return [(repeat, key) for key, repeat in first.items()]
