"""Studies that reuse clusters, single images or named classes, on a real cluster and a real MLflow store."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mlflow import MlflowClient
from scipy.spatial.distance import cdist

from pretrieve.errors import StudyFileError
from pretrieve.image_cache.cached_images import CachedImages
from pretrieve.methods import Method
from pretrieve.records import StudyRecord
from pretrieve.stages.clusters import ClustersStage
from pretrieve.stages.context import walking
from pretrieve.stages.features import FeaturesStage
from pretrieve.stages.observer import StudyObserver
from pretrieve.stages.relationships import study_inputs
from pretrieve.stages.selection import SelectionStage
from pretrieve.stages.selection_record import selection_record
from pretrieve.study.settings import StudySettings
from pretrieve.study.walk import run_study

pytestmark = pytest.mark.usefixtures("ray_cluster")

MakeSettings = Callable[..., StudySettings]
ONE_POINT = {"lr": [0.02], "weight_decay": [0.0], "source_weight": [0.5]}


class Ear(StudyObserver):
    """Keeps what it hears of stages."""

    def __init__(self) -> None:
        self.started: dict[str, tuple[int, int]] = {}
        self.details: list[str] = []
        self.notices: list[str] = []

    def stage_started(self, stage: Any, total: int, done: int = 0) -> None:
        self.started[stage] = (total, done)

    def stage_progressed(self, stage: Any, done: int, total: int, detail: str = "", worth: float | None = None) -> None:
        if stage == "clusters":
            self.details.append(detail)

    def noticed(self, message: str) -> None:
        self.notices.append(message)


def record_of(settings: StudySettings, method: str, target: str = "tiny-a") -> dict[str, Any]:
    path = settings.folder / "selections" / target / f"{method}.json"
    record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return record


def test_clusters_are_made_once_shown_with_their_inertia_and_reused(make_settings: MakeSettings) -> None:
    settings = make_settings(
        targets=["tiny-a"],
        methods=["uot", "random"],
        grid=ONE_POINT,
        selection={"unit": "cluster", "num_clusters": 7, "top_k": 3},
    )
    ear = Ear()
    study = run_study(settings, ear)
    assert all(cell.test_mean is not None for cell in study.cells)
    assert ear.started["clusters"] == (25, 0)
    assert all(detail.startswith("inertia ") for detail in ear.details)
    inertia = [float(detail.split()[1]) for detail in ear.details]
    assert len(inertia) >= 2
    assert inertia == sorted(inertia, reverse=True)
    (trial,) = study.cell("tiny-a", "uot").trials
    run = MlflowClient(settings.tracking()).get_run(trial.run_id)
    assert run.data.params["objective"] == "pseudo_label"  # clusters are for a source without labels
    record = record_of(settings, "uot")
    assert record["unit"] == "cluster"
    assert record["num_units"] == 7
    assert len(record["groups"]) == record["num_selected"] == 3
    assert sum(record["classes"].values()) == record["num_images"]
    assert all(
        name.startswith(f"cluster {group}: ") for group, name in zip(record["groups"], record["names"], strict=True)
    )
    check_distance(settings, study)
    again = Ear()
    run_study(settings, again)
    assert again.started["clusters"] == (25, 25)
    assert "features" not in again.started


def check_distance(settings: StudySettings, study: StudyRecord) -> None:
    """The record says how far the target's classes are from the nearest clusters, by another library."""
    with walking(settings, StudyObserver(), makes=False) as context:
        centroids = context.get(ClustersStage).centroids
        distances = cdist(context.get(FeaturesStage).centroids("tiny-a"), centroids, "cosine")
    (target,) = study.targets
    assert target.source_distance == pytest.approx(distances.min(axis=1).mean())
    assert 0 < distances.min() < distances.max()


def test_single_images_are_reused_up_to_the_cap(make_settings: MakeSettings) -> None:
    settings = make_settings(
        targets=["tiny-a"],
        methods=["uot", "greedy_ot", "nearest", "random"],
        grid=ONE_POINT,
        selection={"unit": "image", "top_k": 14, "max_images_per_class": 3, "expected_groups": {"tiny-a": [0, 1]}},
    )
    study = run_study(settings, Ear())
    assert all(cell.test_mean is not None for cell in study.cells)
    assert study.targets[0].source_distance is None, "single images are no groups"
    for method in settings.method_names:
        record = record_of(settings, method)
        assert record["unit"] == "image"
        assert record["num_images"] == record["num_selected"] == 14
        assert max(record["classes"].values()) <= 3
        expected = record["classes"].get("tiny-source class 0", 0) + record["classes"].get("tiny-source class 1", 0)
        assert record["recall"] == pytest.approx(expected / 16)
    assert record_of(settings, "uot")["masses"] == pytest.approx(np.exp(record_of(settings, "uot")["scores"]))
    assert record_of(settings, "nearest")["masses"] is None


def test_every_image_selected_is_the_whole_source(make_settings: MakeSettings) -> None:
    """All images, all clusters and all classes are the same training data, up to its order."""
    folders = {}
    for unit, top_k in (("class", 6), ("cluster", 5), ("image", 48)):
        settings = make_settings(
            name=unit,
            targets=["tiny-a"],
            methods=["uot"],
            selection={"unit": unit, "top_k": top_k, "num_clusters": 5},
        )
        folders[unit] = reused_images(settings)
    counts = {unit: np.bincount(images.labels.numpy()).tolist() for unit, images in folders.items()}
    assert counts["class"] == counts["cluster"] == counts["image"] == [8] * 6


def reused_images(settings: StudySettings) -> CachedImages:
    with walking(settings, StudyObserver()) as context:
        reused = study_inputs(context).reused("tiny-a", "uot")
        assert reused is not None
        return CachedImages(list(reused.folders))


def test_the_record_tells_overlap_and_recall_and_the_figure_stands_beside_it(
    make_settings: MakeSettings, tmp_path: Path
) -> None:
    (tmp_path / "expected.txt").write_text("tiny-source class 1\n4\n", encoding="utf-8")
    settings = make_settings(
        targets=["tiny-a"],
        methods=["finetune", "uot", "label"],
        grid=ONE_POINT,
        selection={
            "top_k": 2,
            "label_groups": {"tiny-a": ["tiny-source class 4", 2]},
            "expected_groups": {"tiny-a": str(tmp_path / "expected.txt")},
        },
    )
    run_study(settings, Ear())
    label, uot = record_of(settings, "label"), record_of(settings, "uot")
    assert label["groups"] == [4, 2]
    assert label["recall"] == 0.5
    assert uot["recall"] == len({1, 4} & set(uot["groups"])) / 2
    shared = len({4, 2} & set(uot["groups"]))
    assert label["num_shared"] == {"uot": shared}
    figure = (settings.folder / "selections" / "tiny-a" / "uot.svg").read_text(encoding="utf-8")
    assert figure.startswith("<svg")
    assert "Ranked similarity" in figure


@pytest.mark.parametrize("unit", ["class", "cluster"])
def test_the_stage_supplies_the_features_that_a_users_selector_needs(make_settings: MakeSettings, unit: str) -> None:
    settings = make_settings(
        targets=["tiny-a", "tiny-b"],
        methods=["uot", {"name": "mine", "selector": "own_selectors:OfMoments"}],
        selection={"unit": unit, "top_k": 2, "num_clusters": 4},
    )
    with walking(settings, StudyObserver()) as context:
        choice = context.get(SelectionStage)
        matrices = list((settings.cache / "features").glob("*/matrix.npy"))
    assert {choice.selections[target, "mine"].method for target in ("tiny-a", "tiny-b")} == {"of_moments"}
    assert len({tuple(each.scores) for each in choice.selections.values()}) == 4
    assert len(matrices) == 3
    record = selection_record(choice.units["tiny-a"], choice.selections["tiny-a", "mine"], **OF_MINE)
    assert (record.method, record.masses, record.ranks_by_similarity) == ("mine", None, True)


MINE = Method(name="mine", selector="own_selectors:OfMoments")
OF_MINE: dict[str, Any] = {"cell": ("tiny-a", MINE), "others": {}, "expected": None, "top_ks": (2,)}


@pytest.mark.parametrize(
    ("selector", "changes", "message"),
    [
        (
            "own_selectors:Sound",
            {"unit": "image"},
            "unit: must be class or cluster for the method 'mine', but is 'i",
        ),
        (
            "own_selectors:OfNames",
            {"unit": "cluster"},
            "unit: must be class for the method 'mine', but is 'cluster'",
        ),
        ("label", {}, "label_groups: must name the groups of every target for the method 'mine', but lacks tiny-a"),
        (
            "random",
            {"rank_from": 1},
            "rank_from: must be 0 for the method 'mine', which does not rank by similarity",
        ),
    ],
)
def test_what_a_selector_cannot_do_is_refused_before_the_run(
    make_settings: MakeSettings, selector: str, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(StudyFileError, match=message):
        make_settings(
            targets=["tiny-a"], methods=[{"name": "mine", "selector": selector}], selection={"top_k": 2, **changes}
        )
