"""How the configurations of a study were chosen: which choices were ties, and which repeats chose."""

from __future__ import annotations

from collections.abc import Sequence

from pretrieve.records import CellRecord, StudyRecord
from pretrieve.records.verdict import CHOSEN_ONCE
from pretrieve_dashboards import wording

PREFERRED = "of equals the smaller learning rate is taken, then the first in the grid"


def chosen_once(record: StudyRecord) -> str:
    """Return the sentence on a study whose later repeats took the choice of the first; empty for any other."""
    return CHOSEN_ONCE if record.settings.get("choose") == "first_repeat" and _num_repeats(record) > 1 else ""


def ties(cells: Sequence[CellRecord]) -> str:
    """Return the sentence that names the cells in which several configurations had the best score; empty if none.

    >>> from dataclasses import replace
    >>> from pretrieve.testing.study_records import make_trial
    >>> from pretrieve.records import ChoiceRecord
    >>> trials = (make_trial("a", lr=0.1), make_trial("b", lr=0.01))
    >>> cell = CellRecord("birds", "finetune", None, 2, trials, None, None, (), None, None)
    >>> choice = ChoiceRecord(0, trials[1].hyperparameters, 0.5)
    >>> ties([replace(cell, choices=(choice,))]).partition(":")[0]
    'Several configurations had the best validation score in birds · finetune (1 of 1 choice)'
    """
    named = []
    for cell in cells:
        own = [choice for choice in cell.choices if choice.val_score is not None]
        number = sum(_num_best(cell, choice.repeat, choice.val_score) > 1 for choice in own)
        if number:
            named.append(f"{cell.target} · {cell.method} ({number} of {wording.count(len(own), 'choice')})")
    return f"Several configurations had the best validation score in {', '.join(named)}: {PREFERRED}." if named else ""


def own_score(record: StudyRecord, target: str) -> str:
    """Write, behind a registered model, its method and its own test score beside the mean of its cell."""
    found = record.model_refit(target)
    if found is None:
        return ""
    cell, refit = found
    mean = wording.score(cell.test_mean, cell.test_ci95)
    return f", {cell.method} with a test score of {wording.percent(refit.score)} (its cell: {mean})"


def _num_best(cell: CellRecord, repeat: int, score: float | None) -> int:
    return sum(trial.repeat == repeat and trial.score == score for trial in cell.trials)


def _num_repeats(record: StudyRecord) -> int:
    return max((len(cell.choices) for cell in record.cells), default=0)
