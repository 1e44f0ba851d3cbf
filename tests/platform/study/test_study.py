"""The whole walk on a small study, on a real cluster and a real MLflow store."""

from __future__ import annotations

import html
import json
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
import torch
from mlflow import MlflowClient

from pretrieve.artifacts.locks import sole_driver
from pretrieve.data.decode import encode_png
from pretrieve.errors import StudyInUseError, TrialsFailedError, UserError
from pretrieve.stages.context import walking
from pretrieve.stages.observer import StudyObserver, TrialEvent
from pretrieve.stages.relationships import study_inputs
from pretrieve.stages.trial_maker import TrialMaker
from pretrieve.study.settings import StudySettings
from pretrieve.study.study import Study
from pretrieve.study.walk import open_ledger, run_study
from pretrieve.tracking import schema
from pretrieve_dashboards import DashboardError

pytestmark = pytest.mark.usefixtures("ray_cluster")

MakeSettings = Callable[..., StudySettings]


class Ear(StudyObserver):
    """Keeps what it hears."""

    def __init__(self) -> None:
        self.trials: list[TrialEvent] = []
        self.notices: list[str] = []
        self.stages: list[str] = []

    def stage_finished(self, stage: Any, seconds: float) -> None:
        self.stages.append(stage)

    def trial_event(self, event: TrialEvent) -> None:
        self.trials.append(event)

    def noticed(self, message: str) -> None:
        self.notices.append(message)

    def num(self, kind: str, state: str) -> int:
        return sum((event.kind, event.state) == (kind, state) for event in self.trials)


def runs_of(settings: StudySettings, kind: str) -> list[Any]:
    client = MlflowClient(settings.tracking())
    experiment = client.get_experiment_by_name(settings.name)
    assert experiment is not None
    return list(client.search_runs([experiment.experiment_id], f"tags.`{schema.TAG_KIND}` = '{kind}'"))


def table_of(settings: StudySettings) -> str:
    return (settings.folder / "table.csv").read_text(encoding="utf-8")


def test_a_study_runs_to_its_table_and_again_computes_nothing_and_grows_by_what_is_new(
    make_settings: MakeSettings,
) -> None:
    settings, ear = make_settings(), Ear()
    run_study(settings, ear)
    assert (ear.num("trial", "finished"), ear.num("refit", "finished")) == (8, 8)
    assert len(runs_of(settings, "study")) == 1
    cells = runs_of(settings, "cell")
    assert {(c.data.tags[schema.TAG_TARGET], c.data.tags[schema.TAG_METHOD]) for c in cells} == {
        (target, method) for target in ("tiny-a", "tiny-b") for method in ("finetune", "uot")
    }
    check_trials(settings, {str(cell.info.run_id) for cell in cells})
    check_cells(settings, cells)
    check_models(settings)
    check_artifacts(settings, str(runs_of(settings, "study")[0].info.run_id))

    table, again = table_of(settings), Ear()
    run_study(settings, again)
    assert again.trials == []
    assert table_of(settings) == table
    assert len(runs_of(settings, "trial")) == len(runs_of(settings, "refit")) == 8

    grown, more = make_settings(grid={"lr": [0.02, 0.01, 0.005], "weight_decay": [0.0], "source_weight": [0.5]}), Ear()
    run_study(grown, more)
    assert {event.description for event in more.trials if event.kind == "trial"} == {
        "lr 0.005, wd 0, head ×10",
        "lr 0.005, wd 0, λ 0.5, head ×10",
    }
    assert more.num("trial", "finished") == 4
    assert len(runs_of(settings, "trial")) == 12
    assert len(runs_of(settings, "cell")) == 4


def check_trials(settings: StudySettings, cell_ids: set[str]) -> None:
    client = MlflowClient(settings.tracking())
    for run in runs_of(settings, "trial"):
        assert run.data.tags[schema.TAG_PARENT] in cell_ids
        assert {"lr", "weight_decay", "seed", "training.epochs", "backbone_identity"} <= set(run.data.params)
        steps = [m.step for m in client.get_metric_history(run.info.run_id, schema.VAL_SCORE)]
        assert steps == [1, 2]
        assert len(client.get_metric_history(run.info.run_id, schema.LOSS_TARGET)) == 2
        assert schema.TEST_SCORE not in run.data.metrics
        ((worker, start_ms, end_ms),) = json.loads(run.data.tags[schema.TAG_ATTEMPTS])
        assert worker.startswith(socket.gethostname())
        curve = json.loads(run.data.tags[schema.TAG_CURVE])
        assert [epoch for epoch, _ in curve] == [1, 2]
        assert curve[-1][1] == round(run.data.metrics[schema.VAL_SCORE], 5)
        assert 0 < (end_ms - start_ms) / 1000 < run.data.metrics[schema.SECONDS] + 5
        assert run.data.tags[schema.TAG_NOTE].startswith("Trial of ")
    for run in runs_of(settings, "refit"):
        assert run.data.tags[schema.TAG_PARENT] in cell_ids
        assert schema.VAL_SCORE not in run.data.metrics
        assert schema.TEST_SCORE in run.data.metrics


def check_cells(settings: StudySettings, cells: list[Any]) -> None:
    trials, refits = runs_of(settings, "trial"), runs_of(settings, "refit")
    for cell in cells:
        mine = [t for t in trials if t.data.tags[schema.TAG_PARENT] == cell.info.run_id]
        best = max(t.data.metrics[schema.VAL_SCORE] for t in mine)
        assert cell.data.metrics[schema.BEST_VAL_SCORE] == best
        tested = [
            r.data.metrics[schema.TEST_SCORE] for r in refits if r.data.tags[schema.TAG_PARENT] == cell.info.run_id
        ]
        assert len(tested) == 2
        assert cell.data.metrics[schema.TEST_MEAN] == pytest.approx(np.mean(tested))
        chosen = next(t for t in mine if t.data.tags[schema.TAG_KEY] == cell.data.tags[schema.TAG_BEST_KEY])
        assert float(chosen.data.params["lr"]) == json.loads(cell.data.tags[schema.TAG_BEST])["lr"]
        assert f"/runs/{chosen.info.run_id}) is best on validation" in cell.data.tags[schema.TAG_NOTE]


def check_models(settings: StudySettings) -> None:
    client = MlflowClient(settings.tracking())
    assert sorted(model.name for model in client.search_registered_models()) == ["tiny.tiny-a", "tiny.tiny-b"]
    mlflow.set_tracking_uri(settings.tracking())
    model = mlflow.pyfunc.load_model("models:/tiny.tiny-a@champion")
    assert model.metadata.signature is not None
    grey = encode_png(np.full((40, 50, 3), 128, dtype=np.uint8))
    predictions = model.predict(pd.DataFrame({"image": [grey, grey]}))
    assert list(predictions.columns) == ["class_name", "probability", "class_index"]
    names = [f"tiny-a class {k}" for k in range(3)]
    assert predictions["class_name"][0] == names[predictions["class_index"][0]]
    assert 1 / 3 <= predictions["probability"][0] <= 1
    named = pd.DataFrame({"image": [grey, b"no image", grey]}, index=["x.png", "y.png", "z.png"])
    with pytest.raises(Exception, match=r"1 of 3 do not: row 'y\.png': .*params="):
        model.predict(named)
    skipped = model.predict(named, params={"broken_images": "skip"})
    assert list(skipped.index) == list(named.index)
    assert skipped["class_index"].tolist()[1] == -1
    assert skipped["error"].astype(bool).tolist() == [False, True, False]
    assert skipped["class_name"]["z.png"] == predictions["class_name"][0]
    assert model.predict(named.loc[[]]).empty


def check_artifacts(settings: StudySettings, run_id: str) -> None:
    client = MlflowClient(settings.tracking())
    names = {artifact.path for artifact in client.list_artifacts(run_id)}
    assert {"plan.json", "report.html", "table.csv", "selections"} <= names
    assert {"uot.json", "uot.svg", "uot.jpg"} <= {
        Path(each.path).name for each in client.list_artifacts(run_id, "selections/tiny-a")
    }
    for refit in runs_of(settings, "refit"):
        names = ("machine", "device", "threads", "python", "torch", "pretrieve")
        made_with = {name: refit.data.tags[f"{schema.MADE_WITH_PREFIX}{name}"] for name in names}
        assert (made_with["threads"], made_with["torch"]) == (str(settings.compute.num_cpus), torch.__version__)
        assert all(made_with.values())
    assert not [tag for run in runs_of(settings, "trial") for tag in run.data.tags if "made_with" in tag]
    run = client.get_run(run_id)
    assert "| method | tiny-a | tiny-b | average |" in run.data.tags[schema.TAG_NOTE]
    assert str(settings.folder / "report.html") in run.data.tags[schema.TAG_NOTE]
    assert "study ▸ cell" in client.get_experiment(run.info.experiment_id).tags[schema.TAG_NOTE]
    report = (settings.folder / "report.html").read_text(encoding="utf-8")
    assert "Learning curves of uot on tiny-a. 2 trials over 2 epochs: 2 finished" in report
    chosen = json.loads((settings.folder / "selections" / "tiny-a" / "uot.json").read_text(encoding="utf-8"))
    assert len(chosen["groups"]) == len(chosen["names"]) == len(chosen["scores"]) == 2
    assert chosen["converged"]


def test_champion_predicts_what_its_refit_scored(make_settings: MakeSettings, tiny_fields: dict[str, Any]) -> None:
    """The model from bytes and the loop from the image cache are two ways to the same test score."""
    settings = make_settings(targets=["tiny-a"], methods=["finetune"], refit={"num_seeds": 1})
    run_study(settings, Ear())
    from pretrieve.data.registry import find_image_set

    test = find_image_set("tiny-a", cache=settings.cache).splits["test"]
    mlflow.set_tracking_uri(settings.tracking())
    model = mlflow.pyfunc.load_model("models:/tiny.tiny-a@champion")
    predictions = model.predict(pd.DataFrame({"image": test["content"].to_pylist()}))
    score = float(np.mean(predictions["class_index"].to_numpy() == test["label"].to_numpy()))
    (refit,) = runs_of(settings, "refit")
    assert score == pytest.approx(refit.data.metrics[schema.TEST_SCORE])
    (cell,) = runs_of(settings, "cell")
    assert schema.TEST_CI95 not in cell.data.metrics, "one refit says nothing of the spread"


def test_folder_trees_run_and_a_broken_image_is_left_out_and_named(make_settings: MakeSettings, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for root, classes, splits in (("s", 4, {"train": 16}), ("t", 3, {"train": 10, "test": 4})):
        for split, count in splits.items():
            for label in range(classes):
                folder = tmp_path / root / split / f"class{label}"
                folder.mkdir(parents=True)
                for index in range(count):
                    pixels = rng.integers(0, 60, (36, 40, 3)) + 60 * label
                    (folder / f"{index}.png").write_bytes(encode_png(pixels.astype(np.uint8)))
    (tmp_path / "t" / "test" / "class0" / "0.png").write_bytes(b"no image")
    settings, ear = (
        make_settings(
            source={"folder": str(tmp_path / "s")},
            targets=[{"folder": str(tmp_path / "t"), "metric": "mean_per_class"}],
            grid={"lr": [0.01], "weight_decay": [0.0], "source_weight": [1.0]},
        ),
        Ear(),
    )
    record = run_study(settings, ear)
    assert record.cell("t", "uot").test_mean is not None
    assert any("0.png" in notice and "does not decode" in notice for notice in ear.notices)


def test_a_diverged_configuration_is_passed_over(make_settings: MakeSettings) -> None:
    settings = make_settings(
        targets=["tiny-a"],
        methods=["finetune"],
        grid={"lr": [1e30, 0.01], "weight_decay": [0.0]},
    )
    record = run_study(settings, Ear())
    cell = record.cell("tiny-a", "finetune")
    assert (cell.num_in_state("diverged"), cell.num_in_state("finished")) == (1, 1)
    assert cell.best is not None
    assert cell.best["lr"] == 0.01


def test_a_cell_whose_every_trial_diverges_has_no_result_and_hides_no_other(make_settings: MakeSettings) -> None:
    settings = make_settings(targets=["tiny-a"], methods=["finetune"], grid={"lr": [1e30], "weight_decay": [0.0]})
    record = run_study(settings, Ear())
    assert record.cell("tiny-a", "finetune").test_mean is None
    assert record.models == {}
    assert [run.info.status for run in runs_of(settings, "cell")] == ["FAILED"], "and it is not left open"


def test_a_failing_trial_is_told_at_the_end_and_tried_again(
    make_settings: MakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = make_settings(targets=["tiny-a"], methods=["finetune"], grid={"lr": [0.01], "weight_decay": [0.0]})
    # The checkpoint's folder is a file: the disk refuses the trial, whatever its code does.
    settings.folder.mkdir(parents=True)
    (settings.folder / "checkpoints").write_text("in the way")
    with pytest.raises(TrialsFailedError, match="1 trial has no result, the first: tiny-a · finetune"):
        run_study(settings, Ear())
    (run,) = runs_of(settings, "trial")
    assert run.info.status == "FAILED"
    assert "Error" in run.data.tags[schema.TAG_MESSAGE]
    (settings.folder / "checkpoints").unlink()
    run_study(settings, Ear())
    (run,) = runs_of(settings, "trial")
    assert run.info.status == "FINISHED"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"selection": {"top_k": 7}}, "top_k must be at most the source's 6 groups, but is 7"),
        ({"selection": {"unit": "cluster", "num_clusters": 49}}, "num_clusters must be at most the source's 48 images"),
        ({"selection": {"unit": "cluster", "num_clusters": 9, "top_k": 10}}, "top_k must be at most .*num_clusters, 9"),
        ({"grid": {"top_k": [2, 7]}}, "grid.top_k must be at most the source's 6 groups, but is 7"),
        (
            {"selection": {"top_k": 2, "rank_from": 5}},
            "top_k must be at most the source's 6 groups less selection.rank_from, 5, but is 2 from rank 5 on",
        ),
        (
            {
                "selection": {"top_k": 2, "source_fraction": "as_target"},
                "targets": [{"registered": "tiny-a", "regime": {"images_per_class": 8}}],
            },
            "source_fraction must be a number .* but is 'as_target', and 'tiny-a' has 'images_per_class 8'",
        ),
        ({"source": {"registered": "tiny-source", "regime": {"long_tail": 2}}}, "source 'tiny-source' must be a frac"),
        ({"selection": {"unit": "image", "top_k": 49}}, "top_k must be at most the source's 48 images, but is 49"),
        (
            {"training": {"epochs": 1, "batch_size": 100}, "compute": {"workers_per_trial": 5}},
            r"batch_size must leave an equal part to each .* 5, but is 100, and 'tiny-a' has fewer images, 24 in train",
        ),
        ({"targets": ["no-such-target"]}, "'no-such-target' is not"),
        ({"targets": ["tiny-source"]}, "must have a test split"),
    ],
)
def test_what_does_not_fit_the_data_is_refused_before_anything_is_computed(
    make_settings: MakeSettings, changes: dict[str, Any], message: str
) -> None:
    settings, ear = make_settings(**changes), Ear()
    with pytest.raises(UserError, match=message):
        run_study(settings, ear)
    assert set(ear.stages) <= {"image sets"}


def test_python_users_get_the_table_as_a_frame(tiny_fields: dict[str, Any]) -> None:
    fields = {**tiny_fields, "targets": ["tiny-a"], "methods": ["finetune"], "training": {"epochs": 1, "batch_size": 8}}
    study = Study(**fields)
    assert study._repr_html_() == f"<p>{html.escape(repr(study))} · no record yet</p>"
    record = study.run(StudyObserver())
    assert record.cell("tiny-a", "finetune").test_mean is not None
    frame = study.table()
    assert list(frame.index) == ["finetune"]
    assert "tiny-a" in str(frame.columns)
    best = study.best("tiny-a")
    assert best.loc["finetune", "test_mean"] == frame.loc["finetune", ("tiny-a", "mean")]
    assert best.loc["finetune", "lr"] in (0.02, 0.01)
    assert study.compare("finetune", "finetune").empty, "a method adds nothing to itself"
    with pytest.raises(DashboardError, match="one of finetune, but is 'uot'"):
        study.compare("uot")
    assert f"<td>{100 * best.loc['finetune', 'test_mean']:.1f}" in study._repr_html_()
    assert repr(study) == "Study('tiny': tiny-a × finetune)"


def test_a_diverged_refit_is_no_champion(make_settings: MakeSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two refits, one diverged: the other is registered, and its weights are trained again where they are gone."""
    settings = make_settings(targets=["tiny-a"], methods=["finetune"], grid={"lr": [0.01], "weight_decay": [0.0]})
    run_study(settings, Ear())
    client = MlflowClient(settings.tracking())
    first, second = sorted(runs_of(settings, "refit"), key=lambda run: run.info.start_time)
    client.set_tag(first.info.run_id, schema.TAG_OUTCOME, "diverged")
    record = run_study(settings, Ear())
    assert record.cell("tiny-a", "finetune").num_in_state("finished") == 1
    version = client.get_model_version_by_alias("tiny.tiny-a", "champion")
    keys = {run.info.run_id: run.data.tags[schema.TAG_KEY] for run in (first, second)}
    assert version.tags[schema.TAG_KEY] == keys[second.info.run_id]
    assert {run.info.status for run in runs_of(settings, "refit")} == {"FINISHED"}

    for path in (settings.folder / "refits").glob("*.pt"):
        path.unlink()
    assert run_study(settings, Ear()).models == record.models, "the registry has a copy of the weights"
    client.delete_registered_model_alias("tiny.tiny-a", "champion")
    ear = Ear()
    assert run_study(settings, ear).models == record.models
    assert any("are gone or damaged: the first one is trained again" in notice for notice in ear.notices)
    version = client.get_model_version_by_alias("tiny.tiny-a", "champion")
    assert version.tags[schema.TAG_KEY] == keys[second.info.run_id]


def test_two_drivers_do_not_run_one_study(make_settings: MakeSettings) -> None:
    settings = make_settings()
    settings.folder.mkdir(parents=True)
    with (
        sole_driver(settings.folder),
        pytest.raises(StudyInUseError, match=rf"is being run by process {os.getpid()} on"),
    ):
        run_study(settings, Ear())


def test_a_split_of_which_no_image_decodes_is_refused(make_settings: MakeSettings, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for split, count in {"train": 10, "test": 2}.items():
        for label in range(2):
            folder = tmp_path / "t" / split / f"class{label}"
            folder.mkdir(parents=True)
            for index in range(count):
                content = encode_png(rng.integers(0, 255, (32, 32, 3)).astype(np.uint8))
                (folder / f"{index}.png").write_bytes(b"no image" if split == "test" else content)
    with pytest.raises(UserError, match="split 'test', must decode, but none does"):
        run_study(make_settings(targets=[{"folder": str(tmp_path / "t")}]), Ear())


def test_a_store_that_cannot_be_opened_is_told_before_anything_is_computed(make_settings: MakeSettings) -> None:
    ear = Ear()
    with pytest.raises(UserError, match="MLflow's store must answer"):
        run_study(make_settings(tracking_uri="foo://bar"), ear)
    assert ear.stages == []


@pytest.mark.parametrize(
    "changes",
    [
        {"seed": 1},
        {"training": {"epochs": 3, "batch_size": 8}},
        {"training": {"epochs": 2, "batch_size": 8, "momentum": 0.8}},
        {"training": {"epochs": 2, "batch_size": 8, "augmentation": {"flip": False}}},
        {"selection": {"top_k": 3}},
        {"selection": {"top_k": 2, "rank_from": 1}},
        {"selection": {"top_k": 2, "source_fraction": 0.5}},
        {"grid": {"lr": [0.02, 0.01], "weight_decay": [0.0], "source_weight": [0.5], "top_k": [1, 3]}},
        {"targets": [{"registered": "tiny-a", "regime": {"fraction": 0.9}}]},
        {"source": {"registered": "tiny-source", "regime": {"fraction": 0.5}}},
        {"selection": {"top_k": 2, "unit": "cluster", "num_clusters": 6}},
        {"selection": {"top_k": 16, "unit": "image"}},
        {"targets": [{"registered": "tiny-a", "val_fraction": 0.3}]},
        {"targets": [{"registered": "tiny-a", "metric": "mean_per_class"}]},
        {"backbone": {"name": "small_resnet", "pretrain": {"epochs": 1, "batch_size": 16, "lr": 0.03}}},
    ],
)
def test_what_decides_a_result_changes_every_key_and_nothing_else_does(
    make_settings: MakeSettings, changes: dict[str, Any]
) -> None:
    base = {"targets": ["tiny-a"], "methods": ["uot"]}
    before, same, after = (
        keys_of(make_settings(**{**base, **more})) for more in ({}, {"refit": {"num_seeds": 5}}, changes)
    )
    assert before == same
    assert not before & after


def keys_of(settings: StudySettings) -> set[str]:
    with walking(settings, StudyObserver()) as context:
        inputs = study_inputs(context)
        settings.folder.mkdir(parents=True, exist_ok=True)
        cells = TrialMaker(settings, inputs, open_ledger(settings).spool_path).cells()
    return {task.spec.key for cell in cells for task in cell.trials}
