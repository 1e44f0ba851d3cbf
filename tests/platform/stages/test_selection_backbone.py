"""Features of another network than the one that is trained may select."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from mlflow import MlflowClient

from pretrieve.backbones import find_architecture
from pretrieve.errors import StudyFileError, UserError
from pretrieve.execution.measuring.speed import SpeedBook
from pretrieve.stages.backbone import BackboneStage, SelectionBackboneStage
from pretrieve.stages.context import walking
from pretrieve.stages.features import SOURCE, FeaturesStage
from pretrieve.stages.image_cache import describe_inputs
from pretrieve.stages.image_sets import ImageSetsStage, check_sizes
from pretrieve.stages.observer import StudyObserver
from pretrieve.stages.selection import SelectionStage
from pretrieve.stages.selection_settings import StudySelectionSettings
from pretrieve.study.forecast_study import forecast_study
from pretrieve.study.settings import StudySettings
from pretrieve.study.walk import run_study
from pretrieve.tracking import schema
from pretrieve_selection import SelectionInputError

MakeSettings = Callable[..., StudySettings]
PRETRAIN = {"epochs": 1, "batch_size": 16, "lr": 0.02}


@pytest.fixture
def weights(tmp_path: Path) -> dict[str, str]:
    """Two files of weights for the small network, by the number of their seed."""
    files = {}
    for seed in (1, 2):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            state = find_architecture("small_resnet").build().state_dict()
        files[str(seed)] = str(tmp_path / f"{seed}.pt")
        torch.save(state, files[str(seed)])
    return files


def test_the_features_are_those_of_the_selections_network_and_trials_train_the_other(
    make_settings: MakeSettings, weights: dict[str, str]
) -> None:
    trained = {"name": "small_resnet", "weights": weights["1"]}
    other = {"name": "small_resnet", "weights": weights["2"], "image_size": 24}
    with walking(make_settings(backbone=trained), StudyObserver(), makes=False) as context:
        backbone = context.get(BackboneStage)
        assert context.get(SelectionBackboneStage) is backbone, "without the setting both are one"
        assert not SelectionBackboneStage().applies(context)
        key = context.get(FeaturesStage).key(SOURCE)
    for selection in ({"top_k": 2, "backbone": trained}, {"top_k": 2, "backbone": None}):
        with walking(make_settings(backbone=trained, selection=selection), StudyObserver(), makes=False) as context:
            assert not SelectionBackboneStage().applies(context)
            assert context.get(FeaturesStage).key(SOURCE) == key, "the same network, named twice"
    settings = make_settings(backbone=trained, selection={"top_k": 2, "backbone": other})
    with walking(settings, StudyObserver(), makes=False) as context:
        selecting = context.get(SelectionBackboneStage)
        assert SelectionBackboneStage().applies(context)
        assert (selecting.architecture_name, selecting.identity) != (backbone.architecture_name, backbone.identity)
        assert context.get(FeaturesStage).backbone == selecting
        assert context.get(FeaturesStage).key(SOURCE) != key
        assert context.get(BackboneStage) == backbone
    with walking(make_settings(backbone=other), StudyObserver(), makes=False) as context:
        assert context.get(FeaturesStage).backbone == selecting, "its features are those of a study that trains it"


@pytest.mark.parametrize(
    ("backbone", "fault"),
    [
        ("resnet_18", r"selection\.backbone\.name = 'resnet_18': .*Did you mean 'resnet18'"),
        ({"name": "resnet18", "img_size": 9}, r"selection\.backbone\.img_size: no such field.* 'image_size'"),
        ({"name": "resnet18", "weights": "none.pt"}, r"selection\.backbone\.weights = 'none\.pt': the file must exist"),
        ({"name": "small_resnet"}, r"selection\.backbone: 'small_resnet' has no published weights"),
        ({"name": "resnet18@0"}, r"selection\.backbone\.name = 'resnet18@0': .*image_size is 0"),
    ],
)
def test_its_faults_are_those_of_a_studys_backbone(make_settings: MakeSettings, backbone: Any, fault: str) -> None:
    with pytest.raises(StudyFileError, match=fault):
        make_settings(selection={"top_k": 2, "backbone": backbone})
    with pytest.raises(StudyFileError, match=fault.replace(r"selection\.", "")):
        make_settings(backbone=backbone)


def test_in_python_a_word_is_refused() -> None:
    with pytest.raises(SelectionInputError, match=r"backbone must be a BackboneSettings, but is 'resnet18'"):
        StudySelectionSettings(backbone="resnet18")  # type: ignore[arg-type]


def test_a_source_too_small_to_pretrain_it_is_named(make_settings: MakeSettings) -> None:
    selection = {"top_k": 2, "backbone": {"name": "small_resnet", "pretrain": {"batch_size": 100}}}
    with walking(make_settings(), StudyObserver(), makes=False) as context:
        sets = context.get(ImageSetsStage)
    with pytest.raises(
        UserError, match=r"- selection\.backbone\.pretrain\.batch_size must be at most the source's 48 images"
    ):
        check_sizes(make_settings(selection=selection), sets.source, sets.targets)
    check_sizes(make_settings(selection=selection, methods=["finetune"]), sets.source, sets.targets)


@pytest.mark.usefixtures("ray_cluster")
def test_a_study_pretrains_and_forecasts_both_networks(make_settings: MakeSettings, tmp_path: Path) -> None:
    selecting = {"name": "small_resnet", "pretrain": {**PRETRAIN, "lr": 0.01}, "image_size": 16}
    settings = make_settings(
        name="two-networks",
        targets=["tiny-a"],
        methods=["uot"],
        selection={"top_k": 2, "backbone": selecting},
        grid={"lr": [0.01], "weight_decay": [0.0], "source_weight": [0.5]},
        training={"epochs": 1, "batch_size": 8},
        refit={"num_seeds": 1},
        seed=71,
        storage=str(tmp_path / "own"),  # a cache that no other study has filled
    )
    forecast = forecast_study(settings, StudyObserver(), SpeedBook())
    told = {stage.stage: stage for stage in forecast.stages}
    assert list(told)[:3] == ["backbone", "selection backbone", "features"]
    assert told["backbone"].work == told["selection backbone"].work == "1 epochs of pre-training, 3 steps"
    assert told["backbone"].disk_bytes == 4 * told["selection backbone"].disk_bytes, "32 px against 16 px"
    assert told["features"].disk_bytes == 4 * 64 * (48 + 24)

    record = run_study(settings, StudyObserver())
    assert {"backbone", "selection_backbone"} <= {name.replace(" ", "_") for name in record.stage_seconds}
    assert record.settings["selection"]["backbone"]["image_size"] == 16  # type: ignore[index, call-overload]
    assert [cell.test_mean is not None for cell in record.cells] == [True]
    client = MlflowClient(settings.tracking())
    experiment = client.get_experiment_by_name(settings.name)
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id], f"tags.`{schema.TAG_KIND}` = '{schema.KIND_TRIAL}'")
    assert [run.data.params["selection.backbone"] for run in runs] == ["small_resnet@16"]
    with walking(settings, StudyObserver(), makes=False) as context:
        inputs = describe_inputs(context, context.get(SelectionStage))
        assert inputs.backbone.architecture_name == "small_resnet"
        assert inputs.image_size == 32
        assert context.get(FeaturesStage).backbone.architecture_name == "small_resnet@16"
