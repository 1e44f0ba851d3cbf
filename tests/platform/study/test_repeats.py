"""A whole small study with repeats, whose trials are scored by folds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from smaller_sets import coloured_set

from pretrieve.data.image_set import ImageSet
from pretrieve.data.image_table import labels_of, pool_splits, rows_of_splits, take_rows
from pretrieve.data.registry import register_target
from pretrieve.errors import BudgetUsedUpError, UserError
from pretrieve.records import CellRecord, StudyRecord
from pretrieve.stages.context import Context, walking
from pretrieve.stages.image_sets import ImageSetsStage
from pretrieve.stages.observer import StudyObserver, TrialEvent
from pretrieve.stages.relationships import study_inputs
from pretrieve.stages.trial_maker import TrialMaker
from pretrieve.study.forecast_study import forecast_study
from pretrieve.study.settings import StudySettings
from pretrieve.study.walk import run_study
from pretrieve.training.settings import Hyperparameters
from pretrieve_dashboards import render_report

pytestmark = pytest.mark.usefixtures("ray_cluster")

ROWS = ["finetune", "uot", "linear_probe", {"name": "warm", "selector": "random", "head_start": "from_probe"}]


class Ear(StudyObserver):
    def __init__(self) -> None:
        self.begun: list[TrialEvent] = []
        self.notices: list[str] = []

    def trial_event(self, event: TrialEvent) -> None:
        self.begun += [event] if event.state == "started" else []

    def noticed(self, message: str) -> None:
        self.notices.append(message)


@pytest.fixture
def settings(make_settings: Callable[..., StudySettings]) -> Callable[[int], StudySettings]:
    def make(draws: int, **changes: Any) -> StudySettings:
        fields: dict[str, Any] = {
            "targets": [{"registered": "tiny-a", "regime": {"images_per_class": 6}}],
            "methods": ROWS,
            "folds": 3,
            "repeats": {"draws": draws},
            "grid": {"lr": [0.02], "weight_decay": [0.0], "source_weight": [0.5], "l2": [10.0, 1.0]},
        }
        return make_settings(**fields | changes)

    return make


def comparable(record: StudyRecord) -> list[CellRecord]:
    """The cells without run ids and times."""

    def bare(trial: Any) -> Any:
        return replace(trial, run_id="", seconds=0.0, attempts=(), predictions="")

    return [
        replace(
            cell,
            run_id=None,
            trials=tuple(map(bare, cell.trials)),
            refits=tuple(map(bare, cell.refits)),
        )
        for cell in record.cells
    ]


def test_two_repeats_and_then_three_are_three_at_once(settings: Callable[..., StudySettings], tmp_path: Any) -> None:
    forecast = forecast_study(settings(2), StudyObserver())
    assert {cell.method: (cell.num_trials, cell.num_refits) for cell in forecast.cells} == {
        "finetune": (2, 2),
        "uot": (2, 2),
        "linear_probe": (4, 2),
        "warm": (2, 2),
    }
    (finetune,) = [cell for cell in forecast.cells if cell.method == "finetune"]
    # A trial passes over 18 images in three folds: 12 to learn (one step of 8, twice), 6 to score; a refit over 18.
    assert finetune.image_passes == 2 * (3 * 2 * 8 + 18) + 2 * (2 * 2 * 8 + 18)
    first = run_study(settings(2), StudyObserver())
    assert forecast_study(settings(2), StudyObserver()).num_missing == 0
    for cell in first.cells:
        assert [refit.repeat for refit in cell.refits] == [0, 1]
        assert len({refit.seed for refit in cell.refits}) == 2
        assert {len(trial.curve) for trial in cell.trials} == {3}, "a trial reports each fold"
        assert len(cell.choices) == 2
    ear = Ear()
    more = run_study(settings(3), ear)
    num_new = sum(len([trial for trial in cell.trials if trial.repeat == 2]) + 1 for cell in more.cells)
    assert len(ear.begun) == num_new, "the repeats that are there are not run again"
    at_once = run_study(settings(3, name="at-once"), StudyObserver())
    assert comparable(more) == comparable(at_once)
    check_verdict(first, more, at_once)


def check_verdict(two: StudyRecord, three: StudyRecord, at_once: StudyRecord) -> None:
    """The differences are those of the refits' scores; a look at two repeats counts when three are looked at."""
    assert two.verdict is not None
    assert three.verdict is not None
    assert at_once.verdict is not None
    (contrast,) = three.verdict.contrasts
    assert (contrast.first, contrast.second, contrast.target) == ("uot", "finetune", "tiny-a")
    scores = {cell.method: [refit.score for refit in cell.refits] for cell in three.cells}
    differences = [float(a or 0) - float(b or 0) for a, b in zip(scores["uot"], scores["finetune"], strict=True)]
    assert contrast.differences == pytest.approx(differences)
    assert contrast.mean == pytest.approx(sum(differences) / 3)
    assert "too few to give an interval" in two.verdict.contrasts[0].sentence
    assert (two.verdict.looks, three.verdict.looks, at_once.verdict.looks) == ((2,), (2, 3), (3,))
    assert contrast.sentence in render_report(three).replace("&#39;", "'")


def test_contrasts_that_are_named_after_the_trials_are_exploratory(settings: Callable[..., StudySettings]) -> None:
    run_study(settings(2, methods=["finetune", "random"], contrasts=[["random", "finetune"]]), StudyObserver())
    later = settings(2, methods=["finetune", "random"], contrasts=[["finetune", "random"]], margin=100.0)
    verdict = run_study(later, StudyObserver()).verdict
    assert verdict is not None
    assert [each.is_exploratory for each in verdict.contrasts] == [True]
    assert verdict.contrasts[0].sentence.endswith("it is exploratory.")


def test_contrasts_of_unknown_rows_are_refused(settings: Callable[..., StudySettings]) -> None:
    with pytest.raises(UserError, match=r"contrasts\.1: must be two different rows of finetune, uot, .*'uott' and"):
        settings(2, contrasts=[["uot", "finetune"], ["uott", "finetune"]])


def test_seeds_of_refits_are_refused_beside_repeats(settings: Callable[..., StudySettings]) -> None:
    with pytest.raises(UserError, match=r"refit\.num_seeds: must be left out where repeats\.draws is above 1"):
        settings(2, refit={"num_seeds": 3})
    assert settings(1, refit={"num_seeds": 3}).num_refits("finetune") == 3


def test_no_label_of_a_held_out_or_test_image_reaches_what_a_fold_trains_with(
    settings: Callable[..., StudySettings],
) -> None:
    chosen = settings(1, methods=["uot", {"name": "warm", "selector": "random", "head_start": "from_probe"}])
    with walking(chosen, StudyObserver()) as context:
        (fold, *_), (target,) = context.folds(), context.get(ImageSetsStage).targets.values()
        sets = fold.get(ImageSetsStage)
        before = trained_with(fold)
        # The same images with other labels wherever this fold does not learn: held out, undrawn and test.
        fold.results = {
            ImageSetsStage: replace(sets, targets={target.name: with_other_labels(sets.targets[target.name])})
        }
        after = trained_with(fold)
        assert before["selections"] == after["selections"]
        assert all(map(torch.equal, before["tensors"], after["tensors"]))
        # The test can fail: labels that the fold does learn from reach its selection.
        learned = with_other_labels(sets.targets[target.name], learned=True)
        fold.results = {ImageSetsStage: replace(sets, targets={target.name: learned})}
        assert not all(map(torch.equal, before["tensors"], trained_with(fold)["tensors"]))


def trained_with(fold: Context) -> dict[str, Any]:
    """The selections of a fold, and what the networks of its trials start from and see."""
    inputs = study_inputs(fold)
    maker = TrialMaker(fold.settings, inputs, lambda key: fold.settings.folder / key)
    tensors = []
    for method in ("uot", "warm"):
        point = Hyperparameters(lr=0.01, source_weight=0.5)
        task = maker.trial("tiny-a", method, point)
        work = task.inputs(lambda: None).fine_tuning(task.spec, device=torch.device("cpu"))
        tensors += [work.target.labels, work.target.gather(torch.arange(len(work.target)))]
        tensors += [each.detach() for each in work.network.target_head.parameters()]
    return {"selections": {cell: each.groups for cell, each in inputs.selections.items()}, "tensors": tensors}


def with_other_labels(target: ImageSet, *, learned: bool = False) -> ImageSet:
    """The set with other labels of the images that it does not train on, or of those that it does."""
    whole, rows = target.whole, target.rows["train"]
    pool = pool_splits(whole.splits)
    labels = labels_of(pool).copy()
    changed = rows if learned else np.setdiff1d(np.arange(len(labels)), rows)
    labels[changed] = (labels[changed] + 1) % target.num_classes
    pool = pool.set_column(pool.column_names.index("label"), "label", pa.array(labels))
    splits = {split: pool.take(each) for split, each in rows_of_splits(whole.splits).items()}
    marked = {split: f"{each}-{learned}" for split, each in whole.fingerprints.items()}
    other = replace(whole, splits=splits, fingerprints=marked)
    return replace(
        target,
        splits={split: take_rows(splits, each) for split, each in target.rows.items()},
        fingerprints={split: f"{each}-{learned}" for split, each in target.fingerprints.items()},
        drawn_from=other,
    )


@pytest.mark.parametrize(
    ("changes", "num_test"),
    [
        ({"targets": [{"registered": "train-alone", "test_fraction": 0.25}]}, 9),
        ({"targets": [{"registered": "train-alone", "regime": {"images_per_class": 5}, "test": "undrawn"}]}, 21),
        ({"repeats": {"draws": 1, "test": "undrawn"}, "folds": "official"}, 30),
    ],
    ids=["held out", "undrawn of the target", "undrawn of the study"],
)
def test_test_images_may_come_from_train(
    settings: Callable[..., StudySettings], changes: dict[str, Any], num_test: int
) -> None:
    register_target("train-alone")(lambda: coloured_set("train-alone", 3, per_class=12, num_test=0, seed=9))
    record = run_study(settings(2, **{"methods": ["linear_probe", "finetune"], "folds": 2} | changes), StudyObserver())
    (target,) = record.targets
    assert target.num_images["test"] == num_test
    assert all(refit.score is not None for cell in record.cells for refit in cell.refits)


def test_a_used_up_budget_keeps_repeats_that_are_there(settings: Callable[..., StudySettings]) -> None:
    fields = {"methods": ["class_means", "linear_probe"], "contrasts": [["linear_probe", "class_means"]]}
    whole = run_study(settings(3, **fields), StudyObserver())
    again = run_study(settings(3, **fields, budget={"max_wall_hours": 1e-9}), StudyObserver())
    assert comparable(again) == comparable(whole)
    assert again.verdict is not None
    assert again.verdict.num_repeats == 3
    ear = Ear()
    with pytest.raises(BudgetUsedUpError, match="1 repeats were not begun"):
        run_study(settings(4, **fields, budget={"max_wall_hours": 1e-9}), ear)
    assert not ear.begun


def test_a_study_whose_budget_ends_in_its_first_repeat_has_no_verdict(settings: Callable[..., StudySettings]) -> None:
    with pytest.raises(BudgetUsedUpError, match="were not run to their ends and 1 repeats were not begun"):
        run_study(settings(2, budget={"max_wall_hours": 1e-9}), StudyObserver())
