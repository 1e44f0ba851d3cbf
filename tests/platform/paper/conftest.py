"""Records of studies made by hand, selection problems with known answers, and the real birds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from pretrieve import NamedCentroids
from pretrieve.paper.experiment import SelectionProblem
from pretrieve.records import CellRecord, StudyRecord, TargetRecord, TrialRecord
from pretrieve_selection import SelectionSettings

Scores = Mapping[tuple[str, str], tuple[float, float] | None]
Sides = tuple[NDArray[np.float64], NDArray[np.float64]]
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


def _directions(*degrees: float) -> NDArray[np.float64]:
    angles = np.radians(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)


@pytest.fixture
def lonely_class() -> Sides:
    """Two target classes with four groups around them, 0 to 3, and one class with a single group, 4, that is not near.

    Where the cost is sharp the lonely class must find its home and group 4 comes first; where it is blunt the mean
    distance decides, and group 4 comes after the four.
    """
    return _directions(1, 2, 3, 4, 62, 170), _directions(0, 3, 80)


@pytest.fixture(scope="session")
def birds(shared: Path) -> Callable[[str], Sides]:
    """Real centroids of ImageNet-1k and of CUB, by backbone."""

    def load(backbone: str) -> Sides:
        folder = shared / "class_means" / backbone
        with np.load(folder / "imagenet.npz") as source, np.load(folder / "cub.npz") as target:
            return source["means"], target["means"]

    return load
