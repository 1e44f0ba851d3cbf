"""Hand-made records and a small study written to MLflow, with answers that a reader can check."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.entities import Metric, Param

from pretrieve.records import (
    CellRecord,
    PlannedCell,
    PlanRecord,
    SelectionRecord,
    StudyRecord,
    TargetRecord,
    TrialRecord,
    TrialState,
)
from pretrieve.records.codec import to_json
from pretrieve.tracking import schema

TrialMaker = Callable[..., TrialRecord]


def _trial(
    key: str,
    *,
    lr: float = 0.1,
    state: TrialState = "finished",
    score: float | None = 0.5,
    source_weight: float | None = None,
    kind: Any = "trial",
    seconds: float = 2.0,
    message: str = "",
    seed: int = 0,
    top_k: int | None = None,
) -> TrialRecord:
    hyperparameters = {"lr": lr, "weight_decay": 1e-4, "head_lr_ratio": 10.0}
    if source_weight is not None:
        hyperparameters["source_weight"] = source_weight
    if top_k is not None:
        hyperparameters["top_k"] = top_k
    shown = score if state == "finished" else None
    return TrialRecord(key, f"run-{key}", kind, state, hyperparameters, seed, shown, seconds, message)


@pytest.fixture(scope="session")
def make_trial() -> TrialMaker:
    return _trial


def selection(
    target: str,
    method: str,
    groups: tuple[int, ...],
    names: tuple[str, ...],
    scores: tuple[float, ...],
    *,
    margin: float | None = None,
    converged: bool = True,
    **others: Any,
) -> SelectionRecord:
    """Make the record of a selection of the first ranks, all of them listed, where nothing else is said."""
    defaults: dict[str, Any] = {
        "unit": "class",
        "masses": None,
        "ranks": tuple(range(1, len(groups) + 1)),
        "num_selected": len(groups),
        "num_units": 1_000,
        "num_images": 10 * len(groups),
        "classes": {},
        "margins": {},
        "iterations": 12,
        "num_shared": {},
        "recall": None,
    }
    known = {"target": target, "method": method, "groups": groups, "names": names, "scores": scores}
    return SelectionRecord(**{**defaults, **known, "margin": margin, "converged": converged, **others})


@pytest.fixture(scope="session")
def make_selection() -> Callable[..., SelectionRecord]:
    return selection


def _cell(target: str, method: str, mean: float | None, ci95: float | None, *, best_lr: float = 0.1) -> CellRecord:
    weight = None if method == "finetune" else 0.3
    name = f"{target}-{method}"
    trials = (
        _trial(f"{name}-0", lr=0.1, score=0.75, source_weight=weight),
        _trial(f"{name}-1", lr=0.01, score=0.5, source_weight=weight, seconds=3.5),
    )
    refits = tuple(_trial(f"{name}-r{n}", kind="refit", score=mean, source_weight=weight, seed=n) for n in (11, 12))
    return CellRecord(
        target=target,
        method=method,
        run_id=f"cell-{name}",
        num_planned=2,
        trials=trials,
        best=trials[0].hyperparameters,
        best_val_score=0.75,
        refits=refits if mean is not None else (),
        test_mean=mean,
        test_ci95=ci95,
    )


@pytest.fixture
def finished_study() -> StudyRecord:
    """2 targets × 2 methods: uot is best on birds (0.9), finetune on <script> (0.7); averages 0.7 and 0.75."""
    hostile = "<script>alert(1)</script>"
    cells = (
        _cell("birds", "finetune", 0.7, 0.05),
        _cell("birds", "uot", 0.9, 0.0125),
        _cell(hostile, "finetune", 0.7, None),
        _cell(hostile, "uot", 0.6, 0.1),
    )
    return StudyRecord(
        name="study",
        experiment_id="1",
        run_id="study-run",
        tracking_uri="postgresql://me:secret@db/mlflow",
        is_finished=True,
        backbone="small_resnet",
        settings={"name": "study", "note": hostile, "tracking_uri": "postgresql://me:secret@db/mlflow"},
        targets=(
            TargetRecord("birds", "top1", 3, {"train": 9, "val": 3, "test": 30}),
            TargetRecord(hostile, "mean_per_class", 2, {"train": 4, "val": 2, "test": 8}),
        ),
        methods=("finetune", "uot"),
        cells=cells,
        selections=(
            selection("birds", "random", (7, 2), ("[red] kite", "$x$ owl $y$"), (0.4, 0.2), margin=0.1),
            selection("birds", "uot", (2, 5, 1), ("$x$ owl $y$", hostile, "鳥"), (0.9, 0.5, 0.25), converged=False),
        ),
        stage_seconds={"features": 12.0, "trials": 75.0},
        models={"birds": "models:/study.birds@champion"},
    )


@pytest.fixture
def unfinished_study(finished_study: StudyRecord) -> StudyRecord:
    """One cell whole, one with a diverged, a failed and a running trial, one without a test, one not begun."""
    from dataclasses import replace

    first, second, third, fourth = finished_study.cells
    troubled = (
        _trial("d", lr=0.1, state="diverged", source_weight=0.3, message="the loss is not finite at epoch 2"),
        _trial("f", lr=0.01, state="failed", source_weight=0.3, message="out of memory <b>\nline two\nline three"),
        _trial("g", lr=0.001, state="running", source_weight=0.3, seconds=0.0),
        _trial("h", lr=0.001, source_weight=1.0, score=0.5),
    )
    nothing: Mapping[str, Any] = {
        "best": None,
        "best_val_score": None,
        "refits": (),
        "test_mean": None,
        "test_ci95": None,
    }
    return replace(
        finished_study,
        is_finished=False,
        models={},
        stage_seconds={},
        cells=(
            first,
            replace(second, trials=troubled, num_planned=5, **nothing),
            replace(third, refits=(), test_mean=None, test_ci95=None),
            replace(fourth, trials=(), run_id=None, **nothing),
        ),
    )


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
        chosen = selection("birds", method, (4, 2), ("kite", "owl"), (0.75, 0.5))
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
