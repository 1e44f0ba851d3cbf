"""The paper's own studies, loaded from their files with empty folders in the place of the data."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from pretrieve.methods import find_method
from pretrieve.study.settings import StudySettings
from pretrieve.study.study_file import load_study_file

REUSING = {"random": 45, "greedy_ot": 45, "uot": 45}
"""Trials a cell: five rates, three penalties, three weights, at the settled ratio."""


@pytest.fixture
def load(repository: Path, tmp_path: Path):
    """Load a study whose /data is a folder of the test's, with everything that must exist there empty."""

    def load_one(name: str) -> StudySettings:
        text = (repository / "jobs" / "studies" / f"{name}.yaml").read_text(encoding="utf-8")
        fields = yaml.safe_load(text.replace("/data/", f"{tmp_path}/"))
        for target in fields["targets"]:
            Path(target["folder"]).mkdir()
        Path(fields["source"]["imagenet"]).mkdir()
        if isinstance(fields["backbone"], dict):
            Path(fields["backbone"]["weights"]).touch()
        copy = tmp_path / f"{name}.yaml"
        copy.write_text(yaml.safe_dump(fields), encoding="utf-8")
        return load_study_file(copy)

    return load_one


def num_trials(settings: StudySettings) -> dict[str, int]:
    grid = settings.grid
    assert grid.settles_head_lr_ratio(settings.method_names)
    settled = grid.with_head_lr_ratio(10.0)
    return {
        method: len((grid if method == "finetune" else settled).points(find_method(method)))
        for method in settings.method_names
    }


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("table1_supervised", {"finetune": 45, "co_tuning": 15, **REUSING}),
        ("table1_self_supervised", {"finetune": 45, **REUSING}),
        ("table1_clusters", {"finetune": 45, **REUSING}),
    ],
)
def test_a_study_of_the_paper_searches_the_whole_grid_on_eight_targets(load, name: str, expected: dict) -> None:
    settings = load(name)
    assert num_trials(settings) == expected
    assert len(settings.targets) == len({target.published for target in settings.targets}) == 8
    training = settings.training
    assert (training.epochs, training.batch_size, training.source_batch_size) == (100, 256, 256)
    assert (settings.search.strategy, settings.refit.num_seeds) == ("grid", 3)


def test_with_labels_100_classes_are_reused(load) -> None:
    classes = load("table1_supervised").selection
    assert (classes.unit, classes.top_k) == ("class", 100)


def test_without_labels_200_of_2000_clusters_are_reused(load) -> None:
    clusters = load("table1_clusters").selection
    assert (clusters.unit, clusters.num_clusters, clusters.top_k, clusters.cost_scale) == ("cluster", 2000, 200, 0.01)
