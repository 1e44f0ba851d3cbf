"""Records of studies made by hand, and selection problems with known answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pytest

from pretrieve.experiments import SelectionProblem
from pretrieve.features.centroid_file import NamedCentroids
from pretrieve.records import CellRecord, StudyRecord, TargetRecord, TrialRecord
from pretrieve_selection import SelectionSettings

Scores = Mapping[tuple[str, str], tuple[float, float] | None]
RecordMaker = Callable[..., StudyRecord]


def _refit(target: str, method: str, seed: int, score: float) -> TrialRecord:
    key = f"{target}-{method}-{seed}"
    return TrialRecord(key, f"run-{key}", "refit", "finished", {"lr": 0.1}, seed, score, 1.0, "")


def _cell(target: str, method: str, scores: tuple[float, float] | None) -> CellRecord:
    refits = tuple(_refit(target, method, seed, score) for seed, score in enumerate(scores or ()))
    return CellRecord(
        target=target,
        method=method,
        run_id=f"cell-{target}-{method}",
        num_planned=0,
        trials=(),
        best={"lr": 0.1} if scores else None,
        best_val_score=0.5 if scores else None,
        refits=refits,
        test_mean=float(np.mean(scores)) if scores else None,
        test_ci95=0.02 if scores else None,
    )


@pytest.fixture(scope="session")
def make_record() -> RecordMaker:
    """Make a study from its scores: (target, method) → the test scores of two refits, None for an untested cell."""

    def make(scores: Scores, **selection: object) -> StudyRecord:
        targets = tuple(dict.fromkeys(target for target, _ in scores))
        methods = tuple(dict.fromkeys(method for _, method in scores))
        return StudyRecord(
            name="mini",
            experiment_id="1",
            run_id="study-run",
            tracking_uri="sqlite:////runs/mini/mlflow.db",
            is_finished=True,
            backbone="small_resnet",
            settings={"selection": selection},
            targets=tuple(TargetRecord(target, "top1", 3, {"train": 9}) for target in targets),
            methods=methods,
            cells=tuple(_cell(target, method, each) for (target, method), each in scores.items()),
            selections=(),
            stage_seconds={},
            models={},
        )

    return make


@pytest.fixture
def directions() -> SelectionProblem:
    """Four groups near two target classes and one group far off; two of the four are expected, two are selected."""
    angles = np.radians([1.0, 3.0, 20.0, 25.0, 170.0])
    target = np.radians([0.0, 4.0])

    def centroids(degrees: np.ndarray, name: str) -> NamedCentroids:
        means = np.stack([np.cos(degrees), np.sin(degrees)], axis=1)
        return NamedCentroids(means, tuple(f"{name} {number}" for number in range(len(means))))

    return SelectionProblem(centroids(angles, "group"), centroids(target, "class"), (0, 2), SelectionSettings(top_k=2))
