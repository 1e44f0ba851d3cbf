"""Which row gives a target its model, by made-up scores of folds and repeats."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from pretrieve.methods import find_method
from pretrieve.stages.champion import choose_champions
from pretrieve.stages.refits import StudyResults
from pretrieve.stages.study_cells import CellResult
from pretrieve.stages.trial_maker import Cell


@dataclass
class Scores:
    """A ledger's scores: of trials by fold, and of what has finished."""

    folds: dict[str, list[tuple[int, float]]] = field(default_factory=dict)
    finished: dict[str, Any] = field(default_factory=dict)

    def scores(self, key: str, name: str) -> list[tuple[int, float]]:
        assert name == "fold/score"
        return self.folds.get(key, [])


def task(key: str) -> Any:
    return SimpleNamespace(spec=SimpleNamespace(key=key))


def study(by_method: dict[str, Sequence[Sequence[float]]], *, with_folds: bool = True) -> tuple[list[Any], Any]:
    """The results of repeats whose rows have these scores by repeat and fold; the mean is the score of a repeat."""
    ledger, num_repeats = Scores(), max(map(len, by_method.values()))
    repeats = []
    for repeat in range(num_repeats):
        cells = []
        for method, of_repeats in by_method.items():
            key, refit = f"{method}-{repeat}", f"{method}-refit-{repeat}"
            own = of_repeats[repeat]
            if with_folds:
                ledger.folds[key] = list(enumerate(own, start=1))
            ledger.finished[key] = SimpleNamespace(score=sum(own) / len(own))
            ledger.finished[refit] = SimpleNamespace(score=1.0 if method == "uot" else 0.0)
            cells.append(CellResult(Cell("birds", method, ()), task(key), (task(refit),)))
        repeats.append(StudyResults(tuple(cells), ()))
    return repeats, ledger


def champion(repeats: list[Any], ledger: Any) -> str:
    return choose_champions(repeats, ledger, find_method)["birds"].cell.method


def test_the_simplest_row_within_one_standard_error_of_the_best_wins() -> None:
    close = {"uot": [[0.8, 0.9, 0.8]], "finetune": [[0.9, 0.8, 0.7]], "class_means": [[0.5, 0.6, 0.5]]}
    assert champion(*study(close)) == "finetune", "0.03 behind, with an error of 0.07"
    steady = {"uot": [[0.8, 0.9, 0.8]], "finetune": [[0.77, 0.86, 0.77]], "class_means": [[0.5, 0.6, 0.5]]}
    assert champion(*study(steady)) == "uot", "as far behind, but in every fold"


def test_all_folds_of_all_repeats_are_paired() -> None:
    scores = {"finetune": [[0.9, 0.7], [0.8, 0.8]], "linear_probe": [[0.8, 0.8], [0.8, 0.8]]}
    assert champion(*study(scores)) == "linear_probe"
    worse = {"finetune": [[0.9, 0.9], [0.9, 0.9]], "linear_probe": [[0.8, 0.9], [0.8, 0.8]]}
    assert champion(*study(worse)) == "finetune"


def test_without_folds_the_scores_of_repeats_are_paired_and_one_alone_decides() -> None:
    scores = {"finetune": [[0.9], [0.7], [0.9]], "linear_probe": [[0.8], [0.8], [0.8]]}
    assert champion(*study(scores, with_folds=False)) == "linear_probe"
    assert champion(*study({"finetune": [[0.9]], "linear_probe": [[0.89]]}, with_folds=False)) == "finetune"
    assert champion(*study({"finetune": [[0.9]], "linear_probe": [[0.9]]}, with_folds=False)) == "linear_probe"


def test_test_scores_and_untested_rows_have_no_part() -> None:
    repeats, ledger = study({"finetune": [[0.9, 0.9]], "uot": [[0.8, 0.8]]})
    assert champion(repeats, ledger) == "finetune", "though uot is better on test"
    del ledger.finished["finetune-refit-0"]
    assert champion(repeats, ledger) == "uot"


def test_what_later_repeats_take_from_the_first_counts_once() -> None:
    repeats, ledger = study({"finetune": [[0.9, 0.7, 0.9]], "linear_probe": [[0.8, 0.8, 0.8]]})
    assert champion(repeats * 50, ledger) == champion(repeats, ledger) == "linear_probe"
