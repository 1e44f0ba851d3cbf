"""Records of a small made-up study, whole and under way, for tests of what shows a study."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pretrieve.records import CellRecord, SelectionRecord, StudyRecord, TargetRecord, TrialRecord, TrialState


def make_trial(
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
    """Make the record of a trial or refit."""
    hyperparameters = {"lr": lr, "weight_decay": 1e-4, "head_lr_ratio": 10.0}
    if source_weight is not None:
        hyperparameters["source_weight"] = source_weight
    if top_k is not None:
        hyperparameters["top_k"] = top_k
    shown = score if state == "finished" else None
    return TrialRecord(key, f"run-{key}", kind, state, hyperparameters, seed, shown, seconds, message)


def make_selection(
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


def _cell(target: str, method: str, mean: float | None, ci95: float | None, *, best_lr: float = 0.1) -> CellRecord:
    weight = None if method == "finetune" else 0.3
    name = f"{target}-{method}"
    trials = (
        make_trial(f"{name}-0", lr=0.1, score=0.75, source_weight=weight),
        make_trial(f"{name}-1", lr=0.01, score=0.5, source_weight=weight, seconds=3.5),
    )
    seeds = (11,) if ci95 is None else (11, 12, 13)
    refits = tuple(make_trial(f"{name}-r{n}", kind="refit", score=mean, source_weight=weight, seed=n) for n in seeds)
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


def finished_study() -> StudyRecord:
    """Return 2 targets × 2 methods: uot is best on birds (0.9), finetune on <script> (0.7); averages 0.7 and 0.75."""
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
            TargetRecord("birds", "top1", 3, {"train": 9, "val": 3, "test": 30}, "top-1 accuracy"),
            TargetRecord(hostile, "mean_per_class", 2, {"train": 4, "val": 2, "test": 8}, "mean accuracy per class"),
        ),
        methods=("finetune", "uot"),
        cells=cells,
        selections=(
            make_selection("birds", "random", (7, 2), ("[red] kite", "$x$ owl $y$"), (0.4, 0.2), margin=0.1),
            make_selection(
                "birds", "uot", (2, 5, 1), ("$x$ owl $y$", hostile, "鳥"), (0.9, 0.5, 0.25), converged=False
            ),
        ),
        stage_seconds={"features": 12.0, "trials": 75.0},
        models={"birds": "models:/study.birds@champion"},
    )


def unfinished_study() -> StudyRecord:
    """Return the same study under way.

    One cell is whole, one has a diverged, a failed and a running trial, one has no test, one has not begun.
    """
    whole = finished_study()
    first, second, third, fourth = whole.cells
    troubled = (
        make_trial("d", lr=0.1, state="diverged", source_weight=0.3, message="the loss is not finite at epoch 2"),
        make_trial("f", lr=0.01, state="failed", source_weight=0.3, message="out of memory <b>\nline two\nline three"),
        make_trial("g", lr=0.001, state="running", source_weight=0.3, seconds=0.0),
        make_trial("h", lr=0.001, source_weight=1.0, score=0.5),
    )
    nothing: Mapping[str, Any] = {
        "best": None,
        "best_val_score": None,
        "refits": (),
        "test_mean": None,
        "test_ci95": None,
    }
    return replace(
        whole,
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


def study_not_begun() -> StudyRecord:
    """Return the record of the same study before its first trial."""
    whole = finished_study()
    nothing: dict[str, Any] = {
        "best": None,
        "best_val_score": None,
        "test_mean": None,
        "test_ci95": None,
        "run_id": None,
    }
    cells = tuple(replace(cell, trials=(), refits=(), **nothing) for cell in whole.cells)
    return replace(whole, is_finished=False, cells=cells, selections=(), models={}, stage_seconds={})
