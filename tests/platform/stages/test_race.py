"""The race of one cell on a real ledger, with the files that folds leave; no network is trained."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from bare_trials import BareTrialMaker

from pretrieve.execution.held_out import HeldOut
from pretrieve.execution.stored_rows import StoredRows
from pretrieve.execution.trial_task import TrainingFiles, TrialTask
from pretrieve.search.strategies.race import RaceStrategy
from pretrieve.stages.budget import BudgetKeeper, BudgetSettings
from pretrieve.stages.ledger_watcher import LedgerWatcher
from pretrieve.stages.observer import StudyObserver
from pretrieve.stages.race import RACES, CellRace
from pretrieve.stages.study_cells import best_trial, by_preference
from pretrieve.stages.trial_maker import Cell
from pretrieve.stages.trial_progress import TrialProgress
from pretrieve.study.settings import StudySettings
from pretrieve.study.walk import make_folder, open_ledger
from pretrieve.tracking.ledger import Ledger
from pretrieve.tracking.spool import Spool

NUM_FOLDS = 3
NUM_IMAGES = 40
RATES = [0.1, 0.01, 0.001, 1e-5]
CHANCES = [0.9, 0.9, 0.5, 0.2]
"""Of each rate: how many of the images the network of a fold gets right."""


class Study:
    """One cell, opened by one driver after the other."""

    def __init__(self, make_settings: Callable[..., StudySettings], name: str = "race") -> None:
        self.settings = make_settings(name=name, search="race", folds=NUM_FOLDS, methods=["finetune"])
        make_folder(self.settings.folder)
        self.dropped: list[str] = []

    def open(self) -> CellRace:
        ledger = open_ledger(self.settings)
        files = TrainingFiles(train=StoredRows(folders=()), evaluate=StoredRows(folders=()), source=())
        maker = BareTrialMaker(self.settings, ledger)
        grid = self.settings.grid.model_copy(update={"lr": tuple(RATES), "weight_decay": (0.0,)})
        trials = [
            task.model_copy(update={"folds": (files,) * NUM_FOLDS})
            for task in maker.cell("tiny-a", "finetune", grid).trials
        ]
        self.trials = tuple(trials)
        budget = BudgetKeeper(BudgetSettings(), self.settings.folder, self.settings.cache)
        watcher = LedgerWatcher(ledger, StudyObserver(), TrialProgress(lambda pieces, of, worth: None, {}), budget)
        return CellRace(by_preference(trials), RaceStrategy(level=0.05), self.settings.folder, ledger, watcher)


def do_folds(task: TrialTask, ledger: Ledger, *, diverges: bool = False) -> None:
    """Leave what the process of a round leaves."""
    ledger.begin(task.spec, {})
    spool = Spool(task.spool_path)
    spool.write_start("here")
    for fold in range(NUM_FOLDS)[: task.until_fold]:
        draws = np.random.default_rng(fold)  # the same images for every trial
        right = draws.random(NUM_IMAGES) < CHANCES[RATES.index(task.spec.hyperparameters.get("lr"))]
        logits = torch.nn.functional.one_hot(torch.from_numpy(right.astype(np.int64)), 3).float()
        if not task.held_out_path(fold).exists():
            task.held_out_path(fold).parent.mkdir(exist_ok=True)
            HeldOut(logits, torch.ones(NUM_IMAGES, dtype=torch.int64)).write(
                task.held_out_path(fold), {"cost/seconds": 2.0}
            )
        spool.write_epoch(fold + 1, {"val/score": float(right.mean())})
    if task.until_fold is None or diverges:
        spool.write_end("diverged" if diverges else "finished", {"val/score": float(right.mean())})
        task.remove_checkpoints()
    ledger.end_of(task.spec.key)


def run(race: CellRace, *, order: int = 1, num_runs: int | None = None) -> list[list[tuple[float, int | None]]]:
    """Run the rounds of a race; return the rate and the last fold of what each began, until `num_runs` returned."""
    rounds = []
    while texts := race.next_round():
        tasks = [TrialTask.model_validate_json(text) for text in texts]
        rounds.append([(task.spec.hyperparameters.get("lr"), task.until_fold) for task in tasks])
        for task in tasks[::order]:
            if num_runs == 0:
                return rounds
            do_folds(task, race.ledger)
            num_runs = None if num_runs is None else num_runs - 1
    return rounds


def outcomes(race: CellRace) -> dict[str, tuple[str | None, float | None, float]]:
    found = race.ledger.finished
    return {key: (state.outcome, state.last_score, state.seconds) for key, state in found.items()}


def test_those_behind_drop_out_after_the_first_fold(make_settings: Callable[..., StudySettings]) -> None:
    study = Study(make_settings)
    race = study.open()
    rounds = run(race)
    assert rounds == [
        [(1e-5, 1), (0.001, 1), (0.01, 1), (0.1, 1)],
        [(0.01, 2), (0.1, 2)],
        [(0.01, None), (0.1, None)],
    ]
    stopped = [state for state in race.ledger.finished.values() if state.outcome == "stopped"]
    assert [state.seconds for state in stopped] == [2.0, 2.0], "the folds that they did cost so much"
    # Both are right about the same images: the smaller rate is taken.
    best = best_trial(Cell("tiny-a", "finetune", study.trials), race.ledger.finished)
    assert best is not None
    assert best.spec.hyperparameters.get("lr") == 0.01
    race.ledger.deliver()
    assert outcomes(study.open()).keys() == outcomes(race).keys(), "MLflow has the ends of those that dropped out"


def test_a_race_that_is_killed_ends_as_one_left_alone(make_settings: Callable[..., StudySettings]) -> None:
    whole = Study(make_settings).open()
    run(whole)
    for num_runs in (2, 4, 5, 7):  # in the first round, after it, in the second one, and in the last one
        killed = Study(make_settings, f"killed-{num_runs}")
        run(killed.open(), num_runs=num_runs, order=-1)
        again = killed.open()
        run(again, order=-1)
        assert outcomes(again) == outcomes(whole)


def test_a_decision_is_kept_though_its_leader_diverges_later(make_settings: Callable[..., StudySettings]) -> None:
    """Decided anew without the leader, another trial might drop out."""
    study = Study(make_settings)
    race = study.open()
    for text in race.next_round():
        do_folds(TrialTask.model_validate_json(text), race.ledger)
    first, second = (TrialTask.model_validate_json(text) for text in race.next_round())
    do_folds(first, race.ledger, diverges=True)
    rounds = run(study.open())
    assert rounds == [[(second.spec.hyperparameters.get("lr"), None)]], "it is alone, and goes on to its end"


def test_a_trial_that_fails_is_left_out_until_a_later_run(make_settings: Callable[..., StudySettings]) -> None:
    study = Study(make_settings)
    race = study.open()
    for text in race.next_round():
        task = TrialTask.model_validate_json(text)
        if task.spec.hyperparameters.get("lr") != 0.1:
            do_folds(task, race.ledger)
    assert run(race) == [[(0.01, None)]]
    later = study.open()
    assert run(later) == [[(0.1, None)]]
    assert len(later.ledger.finished) == len(RATES)


def test_a_damaged_fold_is_trained_again_and_a_damaged_decision_made_again(
    make_settings: Callable[..., StudySettings],
) -> None:
    study = Study(make_settings)
    race = study.open()
    tasks = [TrialTask.model_validate_json(text) for text in race.next_round()]
    for task in tasks:
        do_folds(task, race.ledger)
    race.next_round()
    (decision,) = (study.settings.folder / RACES).glob("*.json")
    for damaged in (decision, tasks[-1].held_out_path(0)):
        damaged.write_bytes(damaged.read_bytes()[:-1] + b"x")
    assert run(study.open()) == [[(0.1, 1)], [(0.01, 2), (0.1, 2)], [(0.01, None), (0.1, None)]]
    assert decision.exists()


def test_a_race_of_one_goes_to_its_end_at_once(make_settings: Callable[..., StudySettings], tmp_path: Path) -> None:
    race = Study(make_settings).open()
    race.tasks = race.tasks[:1]
    assert run(race) == [[(1e-5, None)]]
    assert not (race.folder / RACES).exists()
