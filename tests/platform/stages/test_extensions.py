"""What a study may vary beyond the paper's table: few labels, shares of the source, numbers of units, deciles."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pretrieve.artifacts.keys import content_key
from pretrieve.backbones import Backbone
from pretrieve.data.image_set import ImageSet
from pretrieve.data.image_table import table_of_contents
from pretrieve.errors import StudyFileError
from pretrieve.execution.trial_task import TrialTask
from pretrieve.image_cache.cached_images import CachedImages
from pretrieve.methods import find_method
from pretrieve.stages.context import walking
from pretrieve.stages.observer import StudyObserver
from pretrieve.stages.relationships import study_inputs
from pretrieve.stages.selection_record import selection_record
from pretrieve.stages.source_units import ClassUnits
from pretrieve.stages.study_inputs import StudyInputs
from pretrieve.stages.trial_maker import TrialMaker
from pretrieve.study.settings import StudySettings
from pretrieve.study.walk import open_ledger, run_study
from pretrieve.training.trial_spec import PROTOCOL_VERSION
from pretrieve_selection import Selection

MakeSettings = Callable[..., StudySettings]
ONE_POINT: dict[str, Any] = {"lr": [0.02], "weight_decay": [0.0], "source_weight": [0.5]}
HALF = {"registered": "tiny-a", "regime": {"fraction": 0.5}}


@pytest.mark.usefixtures("ray_cluster")
def test_a_target_of_half_its_labels_chooses_how_many_halved_groups_it_reuses(make_settings: MakeSettings) -> None:
    settings = make_settings(
        targets=[HALF],
        methods=["uot"],
        grid={**ONE_POINT, "top_k": [1, 3]},
        selection={"source_fraction": "as_target"},
        training={"epochs": 1, "batch_size": 4},
        refit={"num_seeds": 1},
    )
    study = run_study(settings, StudyObserver())
    cell = study.cell("tiny-a", "uot")
    assert study.targets[0].num_images == {"train": 12, "val": 3, "test": 18}
    assert (cell.num_in_state("finished"), len(cell.refits)) == (2, 1)
    record = json.loads((settings.folder / "selections" / "tiny-a" / "uot.json").read_text(encoding="utf-8"))
    assert (record["num_selected"], record["num_images"]) == (3, 12)
    assert record["ranks"] == [1, 2, 3]
    assert record["margins"]["1"] == pytest.approx(record["scores"][0] - record["scores"][1])
    assert record["margins"]["3"] == record["margin"] > 0


@pytest.mark.usefixtures("ray_cluster")
def test_single_images_of_every_number_in_the_grid_are_cached(make_settings: MakeSettings) -> None:
    settings = make_settings(
        targets=["tiny-a"],
        methods=["uot"],
        grid={**ONE_POINT, "top_k": [4, 9]},
        selection={"unit": "image", "rank_from": 3, "max_images_per_class": 5},
    )
    with walking(settings, StudyObserver()) as context:
        inputs = study_inputs(context)
    reused = {top_k: inputs.reused("tiny-a", "uot", top_k) for top_k in (4, 9)}
    assert all(each is not None for each in reused.values())
    assert {top_k: len(CachedImages(each.folders)) for top_k, each in reused.items() if each} == {4: 4, 9: 9}


@pytest.fixture
def made_by_hand(tmp_path: Path) -> Callable[[StudySettings], TrialMaker]:
    """Make the trials of a study from inputs whose identities are given, without computing any of them."""

    def make(settings: StudySettings) -> TrialMaker:
        table = table_of_contents([str(row) for row in range(12)], [b""] * 12, [0, 1, 2, 3, 4, 5] * 2)
        source = ImageSet("tiny-source", tuple("abcdef"), {"train": table}, {"train": "source"})
        splits = {"train": table, "val": table, "test": table}
        metric, *further = settings.targets[0].metric or ("top1",)
        fingerprints = {split: f"a-{split}" for split in splits}
        target = ImageSet("tiny-a", tuple("abcdef"), splits, fingerprints, metric, tuple(further))
        scores = np.arange(6.0)
        chosen = {
            ("tiny-a", method): Selection.from_scores("uot", scores, top_k=top_k)
            for method, top_k in (("uot", 4), ("label", 2))
        }
        units = {"tiny-a": ClassUnits(source, "classes")}
        backbone = Backbone("small_resnet", tmp_path / "weights.pt", "backbone")
        settings.folder.mkdir(parents=True, exist_ok=True)
        inputs = StudyInputs(source, {"tiny-a": target}, backbone, units, chosen, tmp_path / "images")
        return TrialMaker(settings, inputs, open_ledger(settings).spool_path)

    return make


def trials_of(trial_maker: TrialMaker, method: str) -> tuple[TrialTask, ...]:
    return next(cell.trials for cell in trial_maker.cells() if cell.method == method)


def test_a_number_of_units_in_the_grid_gives_each_trial_its_part_of_the_selection(
    make_settings: MakeSettings, made_by_hand: Callable[[StudySettings], TrialMaker]
) -> None:
    labels = {"label_groups": {"tiny-a": [5, 4]}}
    settings = make_settings(
        targets=["tiny-a"],
        methods=["finetune", "uot", "label"],
        grid={**ONE_POINT, "top_k": [1, 2, 4]},
        selection=labels,
    )
    trial_maker = made_by_hand(settings)
    assert [len(task.source) for task in trials_of(trial_maker, "uot")] == [1, 2, 4]
    assert trials_of(trial_maker, "uot")[0].spec.describe() == "lr 0.02, wd 0, λ 0.5, K 1, head ×10"
    assert [task.provenance["selection.top_k"] for task in trials_of(trial_maker, "uot")] == [1, 2, 4]
    assert len(trials_of(trial_maker, "finetune")) == 1
    # A list of two groups is the same images for every larger number: one trial.
    assert [len(task.source) for task in trials_of(trial_maker, "label")] == [1, 2]

    (cell,) = [cell for cell in trial_maker.cells() if cell.method == "uot"]
    for refit in trial_maker.refits(cell, cell.trials[1].spec.hyperparameters):
        assert refit.source == cell.trials[1].source


def test_keys_of_trials_do_not_hear_of_settings_that_are_not_used(
    make_settings: MakeSettings, made_by_hand: Callable[[StudySettings], TrialMaker]
) -> None:
    plain = make_settings(targets=["tiny-a"], methods=["uot"], grid=ONE_POINT, selection={"top_k": 4})
    (task,) = trials_of(made_by_hand(plain), "uot")
    assert task.spec.key == content_key(
        protocol=PROTOCOL_VERSION,
        kind="trial",
        target="tiny-a",
        method="uot",
        objective="joint",
        hyperparameters={"lr": 0.02, "source_weight": 0.5},
        training={"epochs": 2, "batch_size": 8},
        seed=0,
        metric="top1",
        class_names=list("abcdef"),
        backbone="backbone",
        train=["a-train"],
        evaluate="a-val",
        reused=content_key(kind="reused", source="source", units="classes", groups=[2, 3, 4, 5]),
    )
    grown = make_settings(targets=["tiny-a"], methods=["uot"], grid={**ONE_POINT, "top_k": [2, 4]})
    assert task.spec.key in {each.spec.key for each in trials_of(made_by_hand(grown), "uot")}


def test_a_key_holds_further_metrics_in_any_order_and_the_source_of_a_users_own(
    make_settings: MakeSettings, made_by_hand: Callable[[StudySettings], TrialMaker]
) -> None:
    def key(*metrics: str) -> str:
        settings = make_settings(targets=[{"registered": "tiny-a", "metric": metrics}], grid=ONE_POINT)
        return trials_of(made_by_hand(settings), "uot")[0].spec.key

    plain = make_settings(targets=["tiny-a"], grid=ONE_POINT)
    assert key("top1") == trials_of(made_by_hand(plain), "uot")[0].spec.key
    assert key("top1", "auroc", "macro_f1") == key("top1", "macro_f1", "auroc")
    own = "own_metric:Confidence"
    assert len({key("top1"), key("auroc"), key("top1", "auroc"), key("auroc", "top1"), key(own), key("top1", own)}) == 6


@pytest.mark.parametrize(
    ("method", "change"),
    [
        ("finetune", {"gradient_gap": True}),
        ("finetune", {"source_batch_size": 4}),
        ("uot", {"longer": True}),
        ("finetune", {"source_objective": "pseudo_label"}),
        ("uot", {"source_objective": "joint"}),
        ("uot", {"relationship": "direct"}),
        ("uot", {"synchronised_batch_norm": True}),
        ("finetune", {"batch_norm": "target_only"}),
        ("uot", {"optimizer": "adamw", "momentum": 0.5}),
        ("uot", {"schedule": "cosine_decay", "decay_at": [0.5], "decay_factor": 0.5}),
        ("finetune", {"mix_source": "mixup", "mix_alpha": 1.0}),
        ("uot", {"mix_alpha": 1.0}),
        ("uot", {"augmentation": {"magnitude": 5, "num_ops": 1, "cutout_fraction": 0.0}}),
    ],
)
def test_what_a_trial_does_not_read_is_not_in_its_key(
    make_settings: MakeSettings,
    made_by_hand: Callable[[StudySettings], TrialMaker],
    method: str,
    change: dict[str, Any],
) -> None:
    members = {name: change[name] for name in ("optimizer", "schedule") if name in change}
    training = {"epochs": 2, "batch_size": 8, **members}
    keys = [
        trials_of(made_by_hand(make_settings(targets=["tiny-a"], grid=ONE_POINT, training=each)), method)[0].spec.key
        for each in (training, {**training, **change})
    ]
    assert keys[0] == keys[1]


@pytest.mark.parametrize(
    "change",
    [
        {"gradient_gap": True},
        {"steps": 6},
        {"min_steps": 6},
        {"source_batch_size": 4},
        {"source_objective": "pseudo_label"},
        {"decay_factor": 0.5},
        {"momentum": 0.5},
        {"optimizer": "adamw"},
        {"optimizer_settings": {"layer_decay": 0.7}},
        {"schedule": "cosine_decay"},
        {"augmentation": {"flip": False}},
        {"batch_norm": "target_only"},
        {"batch_norm": "frozen"},
        {"learns": "head"},
        {"learns": 2},
        {"weight_average": 0.9},
        {"max_gradient_norm": 5.0},
        {"label_smoothing": 0.1},
        {"mix": "mixup"},
        {"mix_source": "cutmix"},
        {"class_balance": "loss"},
    ],
)
def test_what_a_trial_reads_is_in_its_key(
    make_settings: MakeSettings, made_by_hand: Callable[[StudySettings], TrialMaker], change: dict[str, Any]
) -> None:
    training = {"epochs": 2, "batch_size": 8}
    keys = [
        trials_of(made_by_hand(make_settings(targets=["tiny-a"], grid=ONE_POINT, training=each)), "uot")[0].spec.key
        for each in (training, {**training, **change})
    ]
    assert keys[0] != keys[1]


def test_the_key_of_a_number_of_steps_lacks_epochs_and_that_of_a_longer_row_has_the_source_batch(
    make_settings: MakeSettings, made_by_hand: Callable[[StudySettings], TrialMaker]
) -> None:
    def key(method: str, **training: Any) -> str:
        rows = ["finetune", "finetune_longer", "uot"]
        settings = make_settings(
            targets=["tiny-a"], methods=rows, grid=ONE_POINT, training={"batch_size": 8, **training}
        )
        return trials_of(made_by_hand(settings), method)[0].spec.key

    for method in ("finetune", "finetune_longer", "uot"):
        assert key(method, steps=6) == key(method, steps=6, epochs=2) != key(method, steps=7)
    assert key("finetune", steps=6) == key("finetune", steps=6, source_batch_size=4)
    assert key("finetune_longer", steps=6) != key("finetune_longer", steps=6, source_batch_size=4)


@pytest.mark.usefixtures("ray_cluster")
def test_a_target_smaller_than_a_batch_is_trained_on_for_some_steps_and_as_long_as_the_joint_row(
    make_settings: MakeSettings,
) -> None:
    heard: list[str] = []

    class Ear(StudyObserver):
        def noticed(self, message: str) -> None:
            heard.append(message)

    settings = make_settings(
        targets=["tiny-a"],
        methods=["finetune", "finetune_longer", "uot"],
        grid=ONE_POINT,
        search="asha",
        training={"steps": 12, "batch_size": 100},
        refit={"num_seeds": 1},
    )
    study = run_study(settings, Ear())
    smaller = (
        "'tiny-a' has 24 images to train on, fewer than training.batch_size, 100: each step of its trials uses all"
    )
    assert [message.startswith(smaller) for message in heard].count(True) == 1
    for cell in study.cells:
        assert (cell.num_in_state("finished"), len(cell.refits)) == (1, 1)
        assert [epoch for epoch, _ in cell.trials[0].curve] == list(range(1, 11))


@pytest.mark.parametrize("mix", [{"mix": "mixup"}, {"mix_source": "mixup"}])
def test_the_spread_of_blends_is_in_the_key_of_a_trial_that_mixes(
    make_settings: MakeSettings, made_by_hand: Callable[[StudySettings], TrialMaker], mix: dict[str, str]
) -> None:
    keys = []
    for alpha in (0.2, 1.0):
        settings = make_settings(targets=["tiny-a"], grid=ONE_POINT, training={**mix, "epochs": 2, "mix_alpha": alpha})
        keys.append(trials_of(made_by_hand(settings), "uot")[0].spec.key)
    assert keys[0] != keys[1]


def test_the_record_of_a_decile_tells_true_ranks_and_a_recall_that_no_share_of_images_lowers() -> None:
    labels = [0, 0, 1, 1, 2, 2, 3, 3]
    table = table_of_contents([str(row) for row in range(8)], [b""] * 8, labels)
    units = ClassUnits(ImageSet("pool", tuple("abcd"), {"train": table}, {"train": "f"}), "classes").keeping(0.5, 0)
    decile = Selection("uot", (3, 0), np.array([1.0, 5.0, 0.0, 2.0]), 1.0, True, 4)
    record = selection_record(units, decile, cell=("t", find_method("uot")), others={}, expected=[1, 3], top_ks=(1, 2))
    assert record.ranks == (2, 3)
    assert record.scores == (2.0, 1.0)
    assert record.margins == {1: 1.0, 2: 1.0}
    assert record.num_images == 2
    assert record.recall == 0.5


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"methods": ["random"], "selection": {"rank_from": 2}}, "rank_from: must be 0 for the method 'random'"),
        (
            {"methods": ["label"], "selection": {"rank_from": 2, "label_groups": {"tiny-a": [1]}}},
            "rank_from: must be 0 for the method 'label'",
        ),
        ({"selection": {"rank_from": -1}}, "rank_from must be an integer >= 0, but is -1"),
        ({"selection": {"source_fraction": 0}}, "source_fraction must be a number > 0 and <= 1, or 'as_target'"),
        ({"selection": {"source_fraction": "half"}}, "source_fraction must be a number .* but is 'half'"),
        ({"selection": {"unit": "image", "source_fraction": 0.5}}, "source_fraction: must be left out where unit is"),
        (
            {"training": {"mix_source": "mixup", "source_objective": "pseudo_label"}},
            "mix_source: must be left out where a row learns the source without its labels, but is 'mixup', and 'uot'",
        ),
        ({"training": {"label_smoothing": 1.0}}, "label_smoothing"),
        ({"training": {"mix": "mixup", "mix_alpha": 0.0}}, "mix_alpha"),
        ({"targets": [{"registered": "tiny-a", "regime": {"shots": 5}}]}, "shots: no such field; known here: frac"),
    ],
)
def test_settings_that_mean_nothing_are_refused(
    make_settings: MakeSettings, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(StudyFileError, match=message):
        make_settings(**{"targets": ["tiny-a"], **changes})
