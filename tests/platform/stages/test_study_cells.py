"""The cells of a resumed study, on a real ledger; a stand-in for the trial maker makes tasks without images."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import pytest
from bare_trials import BareTrialMaker

from pretrieve.execution.trial_task import TrialTask
from pretrieve.execution.tune_events import record_stop
from pretrieve.search.early_stopping import Stop
from pretrieve.search.proposals import Proposals
from pretrieve.stages.observer import StageClock, StudyObserver
from pretrieve.stages.study_cells import StudyCells
from pretrieve.stages.trial_maker import TrialMaker
from pretrieve.study.settings import StudySettings
from pretrieve.study.walk import make_folder, open_ledger
from pretrieve.tracking.ledger import Ledger
from pretrieve.tracking.spool import Spool
from pretrieve.training.settings import Hyperparameters

MakeSettings = Callable[..., StudySettings]
GRID = {"lr": [0.1, 0.001], "weight_decay": [0.0], "source_weight": [1.0]}


def open_cells(settings: StudySettings) -> tuple[StudyCells, Ledger]:
    make_folder(settings.folder)
    ledger = open_ledger(settings)
    trial_maker = cast("TrialMaker", BareTrialMaker(settings, ledger))
    return StudyCells(settings, trial_maker, ledger, StageClock(StudyObserver())), ledger


def run(ledger: Ledger, task: TrialTask, scores: list[float], outcome: Any = None) -> None:
    """Tell what a trial would, as far as it comes."""
    ledger.begin(task.spec, task.parameters())
    spool = Spool(task.spool_path)
    for epoch, score in enumerate(scores, start=1):
        spool.write_epoch(epoch, {"val/score": score})
    if outcome == "stopped":
        record_stop(task, Stop(epoch=len(scores), num_epochs=9, score=scores[-1], seconds=1.0))
    elif outcome is not None:
        spool.write_end(outcome, {})


@pytest.mark.parametrize("is_delivered", [True, False])
def test_a_resumed_search_tells_its_model_what_ended_and_goes_on_with_what_was_begun(
    make_settings: MakeSettings, is_delivered: bool
) -> None:
    search = {"strategy": "optuna", "num_trials": 6}
    settings = make_settings(targets=["tiny-a"], methods=["finetune"], grid=GRID, search=search)
    study_cells, ledger = open_cells(settings)
    finished, diverged, stopped, begun = (
        study_cells.trial_maker.trial(
            "tiny-a", "finetune", Hyperparameters(lr=lr, weight_decay=0.0, head_lr_ratio=10.0)
        )
        for lr in (0.1, 0.0712345678901234, 0.001, 0.0123456789012345)
    )
    run(ledger, finished, [0.5, 0.6], "finished")
    run(ledger, diverged, [0.9], "diverged")
    run(ledger, stopped, [0.3, 0.4], "stopped")
    run(ledger, begun, [0.7])
    if is_delivered:
        ledger.deliver()

    study_cells, ledger = open_cells(settings)
    (cell,) = study_cells.open_phase(study_cells.phases()[0])
    assert {task.spec.key for task in cell.trials} == {t.spec.key for t in (finished, diverged, stopped, begun)}
    assert (cell.num_unknown, cell.num_planned) == (2, 6)
    assert study_cells.missing([cell]) == [begun]
    assert {each.key: list(each.scores) for each in study_cells.earlier([cell], ended=True)} == {
        finished.spec.key: [(1, 0.5), (2, 0.6)],
        stopped.spec.key: [(1, 0.3), (2, 0.4)],
    }, "one that diverged stops no other"
    assert [list(each.scores) for each in study_cells.earlier([cell], ended=False)] == [[(1, 0.7)]]
    problem = study_cells.problem(cell)
    assert {point.lr: score for point, score in problem.scores.items()} == {
        finished.spec.hyperparameters.lr: 0.6,
        diverged.spec.hyperparameters.lr: 0.0,
        stopped.spec.hyperparameters.lr: 0.4,
    }
    proposals, proposed = Proposals(problem), []
    while (proposal := proposals.propose(str(len(proposed)))) is not None:
        proposed.append(proposal)
    assert len(proposed) == 3
    assert proposed[0] == (begun.spec.key, begun.spec.hyperparameters), "its own key, so its own run and checkpoint"
    assert not {key for key, _ in proposed} & {t.spec.key for t in (finished, diverged, stopped)}


def test_where_none_has_a_score_to_choose_by_the_best_stopped_trial_is_named_until_one_is_under_way(
    make_settings: MakeSettings,
) -> None:
    grid = {**GRID, "lr": [0.1, 0.01, 0.001]}
    settings = make_settings(targets=["tiny-a"], methods=["finetune"], grid=grid, search="asha")
    study_cells, ledger = open_cells(settings)
    (cell,) = study_cells.cells
    leader, better, worse = cell.trials
    run(ledger, leader, [0.9, 0.9], "diverged")
    run(ledger, better, [0.5], "stopped")
    run(ledger, worse, [0.3], "stopped")
    assert study_cells.best_stopped(study_cells.cells) == []
    for task in cell.trials:
        ledger.end_of(task.spec.key)
    assert study_cells.best_stopped(study_cells.cells) == [better]
    ledger.reopen(better.spec.key)
    assert study_cells.best_stopped(study_cells.cells) == []
    assert study_cells.missing(study_cells.cells) == [better]
    run(ledger, better, [0.5, 0.6], "finished")
    ledger.end_of(better.spec.key)
    assert study_cells.best_stopped(study_cells.cells) == []
    assert ledger.finished[better.spec.key].score == 0.6


def test_a_ratio_settled_by_an_earlier_run_is_known_from_the_start(make_settings: MakeSettings) -> None:
    grid = {**GRID, "lr": [0.1], "head_lr_ratio": [10.0, 1.0, 0.1]}
    settings = make_settings(targets=["tiny-a"], grid=grid)
    study_cells, ledger = open_cells(settings)
    finetune, uot = study_cells.cells
    assert (len(finetune.trials), len(uot.trials), uot.num_unknown) == (3, 0, 1)
    for task, score in zip(finetune.trials, (0.4, 0.6, 0.5), strict=True):
        run(ledger, task, [score], "finished")
    study_cells, _ = open_cells(settings)
    uot = study_cells.cells[1]
    assert [task.spec.hyperparameters.head_lr_ratio for task in uot.trials] == [1.0]
    assert uot.num_unknown == 0
