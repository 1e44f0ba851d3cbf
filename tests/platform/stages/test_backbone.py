from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
import torch

from pretrieve.backbones import find_architecture
from pretrieve.errors import BackboneError, StudyFileError, UserError
from pretrieve.stages.backbone import BackboneStage, backbone_from_weights, pretrained_key
from pretrieve.stages.context import walking
from pretrieve.stages.image_sets import ImageSetsStage
from pretrieve.stages.observer import StudyObserver
from pretrieve.study.settings import BackboneSettings, StudySettings
from pretrieve.training.pretraining import PretrainingSettings

MakeSettings = Callable[..., StudySettings]


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """A small network's weights with a classifier of four classes."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        state = find_architecture("small_resnet").build().state_dict()
    torch.save({**state, "fc.weight": torch.ones(4, 64), "fc.bias": torch.arange(4.0)}, tmp_path / "classifier.pt")
    return tmp_path / "classifier.pt"


def test_a_checkpoints_classifier_and_image_size_come_along(checkpoint: Path, tmp_path: Path) -> None:
    settings = BackboneSettings(name="small_resnet", weights=checkpoint, image_size=24, resize_size=28)
    backbone = backbone_from_weights(settings, tmp_path)
    assert backbone.architecture_name == settings.architecture_name == "small_resnet@24/28"
    preprocessing = backbone.architecture.preprocessing
    assert (preprocessing.image_size, preprocessing.resize_size) == (24, 28)
    classifier = backbone.load_classifier()
    assert classifier is not None
    assert classifier.bias.tolist() == [0, 1, 2, 3]
    assert classifier.weight.shape == (4, 64)


def test_each_size_is_a_backbone_of_its_own(checkpoint: Path, tmp_path: Path) -> None:
    settings = [BackboneSettings(name="small_resnet", weights=checkpoint, image_size=size) for size in (24, 32, None)]
    identities = [backbone_from_weights(each, tmp_path).identity for each in settings]
    assert identities[0] != identities[1] == identities[2]
    pretrained = [
        BackboneSettings(name="small_resnet", pretrain=PretrainingSettings(), image_size=size)
        for size in (24, 32, None)
    ]
    keys = [pretrained_key(each, "source", 0) for each in pretrained]
    assert keys[0] != keys[1] == keys[2]


def test_weights_that_do_not_fit_are_refused_by_file_and_key(checkpoint: Path, tmp_path: Path) -> None:
    state = torch.load(checkpoint, weights_only=True)
    torch.save({**state, "fc.weight": torch.ones(4, 32)}, checkpoint)
    with pytest.raises(BackboneError, match=r"classifier\.pt must .* weight of the classifier has shape \(4, 32\)"):
        backbone_from_weights(BackboneSettings(name="small_resnet", weights=checkpoint), tmp_path)


@pytest.mark.parametrize(
    ("backbone", "fault"),
    [
        ({"name": "small_resnet", "image_size": 0}, r"backbone\.image_size = 0: must be greater than or equal to 1"),
        ({"name": "small_resnet", "image_size": 32, "resize_size": 24}, "image_size is 32 and resize_size 24"),
        ({"name": "small_resnet@24", "image_size": 32}, "must be given once, but 'small_resnet@24' has one already"),
        ({"name": "small_resnet", "img_size": 32}, r"backbone\.img_size: no such field.*Did you mean 'image_size'"),
        ({"name": "vit_b_32", "image_size": 96}, "'vit_b_32' must see images of 224 px"),
        ({"name": "googlenet"}, "must return features alone, but 'googlenet'"),
        ({"name": "moco_resnet50"}, "'moco_resnet50' has no published weights"),
        ({"name": "moco_resnet50", "pretrain": {}}, "a network without a projector, but 'moco_resnet50' has one"),
        ({"name": "no_such_module:net"}, "'no_such_module:net' must be importable"),
    ],
)
def test_a_backbone_that_cannot_be_is_a_fault_of_the_study(
    make_settings: MakeSettings, backbone: dict[str, object], fault: str
) -> None:
    fields = {"pretrain": {"epochs": 1}, **backbone} if str(backbone["name"]).startswith("small") else backbone
    with pytest.raises(StudyFileError, match=fault):
        make_settings(backbone=fields)


def test_a_network_that_only_the_running_script_knows_is_refused(
    make_settings: MakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    main = ModuleType("__main__")
    main.net = find_architecture("small_resnet")  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "__main__", main)
    with pytest.raises(StudyFileError, match=r"but '__main__:net' is known to the running script alone; put it"):
        make_settings(backbone={"name": "__main__:net", "pretrain": {"epochs": 1}})


def test_co_tuning_says_that_a_tower_has_no_classifier(make_settings: MakeSettings, tmp_path: Path) -> None:
    timm = pytest.importorskip("timm")
    torch.save(timm.create_model("vit_tiny_patch16_dinov3_qkvb").state_dict(), tmp_path / "tower.pt")
    backbone = {"name": "timm:vit_tiny_patch16_dinov3_qkvb@32", "weights": str(tmp_path / "tower.pt")}
    settings = make_settings(backbone=backbone, methods=["co_tuning"])
    with (
        walking(settings, StudyObserver()) as context,
        pytest.raises(
            UserError, match=r"needs the classifier .* weights of timm:vit_tiny_patch16_dinov3_qkvb@32 hold none; give"
        ),
    ):
        context.get(BackboneStage)


@pytest.mark.usefixtures("ray_cluster")
def test_pretraining_at_another_size_keeps_the_head_as_the_classifier(make_settings: MakeSettings) -> None:
    pretrain = {"epochs": 1, "batch_size": 16, "lr": 0.02}
    settings = make_settings(backbone={"name": "small_resnet", "pretrain": pretrain, "image_size": 16})
    with walking(settings, StudyObserver()) as context:
        backbone = context.get(BackboneStage)
        num_classes = context.get(ImageSetsStage).source.num_classes
    with walking(settings, StudyObserver(), makes=False) as context:
        assert context.get(BackboneStage) == backbone
    assert backbone.architecture_name == "small_resnet@16"
    classifier = backbone.load_classifier()
    assert classifier is not None
    assert classifier.weight.shape == (num_classes, 64)
