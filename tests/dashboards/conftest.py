"""Hand-made records and a small study written to MLflow, with answers that a reader can check."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import Metric, Param

from pretrieve.records import (
    PlannedCell,
    PlanRecord,
    SelectionRecord,
    StudyRecord,
    TargetRecord,
    TrialRecord,
)
from pretrieve.records.codec import to_json
from pretrieve.testing.study_records import finished_study, make_selection, make_trial, unfinished_study
from pretrieve.tracking import schema

TrialMaker = Callable[..., TrialRecord]


@pytest.fixture(scope="session", name="make_trial")
def _make_trial() -> TrialMaker:
    return make_trial


@pytest.fixture(scope="session", name="make_selection")
def _make_selection() -> Callable[..., SelectionRecord]:
    return make_selection


@pytest.fixture(name="finished_study")
def _finished_study() -> StudyRecord:
    return finished_study()


@pytest.fixture(name="unfinished_study")
def _unfinished_study() -> StudyRecord:
    return unfinished_study()


@dataclass(frozen=True)
class WrittenStudy:
    """Where the fixture wrote a study, and the runs that a test asks for."""

    tracking_uri: str
    client: MlflowClient
    experiment_id: str
    study_run: str


@pytest.fixture(scope="session")
def written_study(tmp_path_factory: pytest.TempPathFactory) -> WrittenStudy:
    """2 targets × 2 methods: three cells whole, uot on fish unfinished, one stale trial and one stale refit."""
    folder: Path = tmp_path_factory.mktemp("store")
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    client = MlflowClient(tracking_uri=uri)
    experiment = client.create_experiment("fauna", artifact_location=(folder / "artifacts").as_uri())
    client.create_experiment("flora", artifact_location=(folder / "artifacts").as_uri())
    study = _run(client, experiment, "study", metrics={"cost/stage_seconds/trials": 60.0, "other": 1.0})
    client.set_tag(study, schema.TAG_MODELS, json.dumps({"birds": "models:/fauna.birds@champion"}))
    plan_cells = []
    for target in ("birds", "fish"):
        for method in ("finetune", "uot"):
            keys = [f"{target}-{method}-{number}" for number in (0, 1)]
            plan_cells.append(PlannedCell(target, method, tuple(keys), len(keys)))
            _write_cell(client, experiment, target, method, is_whole=(target, method) != ("fish", "uot"))
    plan = PlanRecord(
        backbone="small_resnet",
        settings={"name": "fauna", "refit": {"num_seeds": 2}},
        methods=("finetune", "uot"),
        targets=tuple(TargetRecord(name, "top1", 3, {"train": 9, "test": 30}) for name in ("birds", "fish")),
        cells=tuple(plan_cells),
    )
    client.log_dict(study, to_json(plan), "plan.json")
    for method in ("uot", "label"):
        chosen = make_selection("birds", method, (4, 2), ("kite", "owl"), (0.75, 0.5))
        client.log_dict(study, to_json(chosen), f"selections/birds/{method}.json")
    return WrittenStudy(uri, client, experiment, study)


def _write_cell(client: MlflowClient, experiment: str, target: str, method: str, *, is_whole: bool) -> None:
    cell = {schema.TAG_TARGET: target, schema.TAG_METHOD: method}
    name = f"{target}-{method}"
    point = {"lr": "0.1", "weight_decay": "0.0001", "head_lr_ratio": "10.0", "seed": "5"}
    if method == "uot":
        point["source_weight"] = "0.3"

    def write(kind: str, key: str, status: str, outcome: str | None, metrics: dict[str, float], **tags: str) -> None:
        outcome_tag = {} if outcome is None else {schema.TAG_OUTCOME: outcome}
        all_tags = {schema.TAG_KEY: key, **cell, **outcome_tag, **tags}
        _run(client, experiment, kind, status=status, metrics=metrics, tags=all_tags, params=point)

    write("trial", f"{name}-0", "FINISHED", "finished", {"val/score": 0.75, "cost/seconds": 2.5})
    if not is_whole:
        write(
            "trial", f"{name}-1", "RUNNING", "failed", {"val/score": 0.25}, **{schema.TAG_MESSAGE: "an earlier error"}
        )
        _run(client, experiment, "cell", status="RUNNING", tags=cell)
        return
    write("trial", f"{name}-1", "FINISHED", "diverged", {"val/score": 0.1}, **{schema.TAG_MESSAGE: "not finite"})
    write("trial", f"{name}-stale", "FINISHED", "finished", {"val/score": 0.99})
    write("refit", f"{name}-r0", "FINISHED", "finished", {"test/score": 0.5, "cost/seconds": 4.0})
    write("refit", f"{name}-r1", "FAILED", "failed", {}, **{schema.TAG_MESSAGE: "disk full"})
    write("refit", f"{name}-r-stale", "FINISHED", "finished", {"test/score": 0.98})
    summary = {
        schema.TAG_BEST: json.dumps({"lr": 0.1, "weight_decay": 1e-4, "head_lr_ratio": 10.0}),
        schema.TAG_BEST_KEY: f"{name}-0",
        schema.TAG_REFIT_KEYS: json.dumps([f"{name}-r0", f"{name}-r1"]),
    }
    metrics = {"best/val_score": 0.75, "test/score_mean": 0.5, "test/score_ci95": 0.125}
    _run(client, experiment, "cell", metrics=metrics, tags={**cell, **summary})


def _run(
    client: MlflowClient,
    experiment: str,
    kind: str,
    *,
    status: str = "FINISHED",
    metrics: Mapping[str, float] | None = None,
    tags: Mapping[str, str] | None = None,
    params: Mapping[str, str] | None = None,
) -> str:
    run_id = str(client.create_run(experiment, tags={schema.TAG_KIND: kind, **(tags or {})}).info.run_id)
    logged = [Metric(name, value, 1, 0) for name, value in (metrics or {}).items()]
    client.log_batch(run_id, metrics=logged, params=[Param(*each) for each in (params or {}).items()])
    client.set_terminated(run_id, status=status)
    return run_id
