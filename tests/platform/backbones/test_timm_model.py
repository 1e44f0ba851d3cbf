import pytest
import torch

from pretrieve.backbones import find_architecture, keep_backbone, parts_of_checkpoint, timm_model
from pretrieve.errors import BackboneError


@pytest.fixture
def timm():
    return pytest.importorskip("timm")


@pytest.mark.parametrize("model", ["test_resnet", "mobilenetv3_small_050", "test_vit"])
def test_a_whole_models_weights_give_what_its_classifier_gets(timm, model, tmp_path):
    architecture = find_architecture(f"timm:{model}")
    whole = timm.create_model(model).eval()
    parts = parts_of_checkpoint(architecture, whole.state_dict(), origin="the test")
    backbone = keep_backbone(architecture, parts, tmp_path)
    size = architecture.preprocessing.image_size
    images = torch.randn((2, 3, size, size), generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        features = backbone.load().eval()(images)
        expected = whole.forward_head(whole.forward_features(images), pre_logits=True)
        torch.testing.assert_close(features, expected)
        torch.testing.assert_close(backbone.load_classifier()(features), whole(images))
    assert features.shape == (2, architecture.feature_dim)


def test_preprocessing_is_the_models_own(timm):
    preprocessing = find_architecture("timm:mobilenetv3_small_050").preprocessing
    assert (preprocessing.resize_size, preprocessing.image_size) == (256, 224)  # crop_pct 0.875
    assert preprocessing.mean == pytest.approx((0.485, 0.456, 0.406))


def test_a_transformer_is_tied_to_its_size(timm):
    with pytest.raises(BackboneError, match=r"'timm:test_vit' must see images of 160 px"):
        find_architecture("timm:test_vit@96")
    assert find_architecture("timm:test_resnet@96").preprocessing.image_size == 96


def test_published_weights_are_asked_of_timm(timm, monkeypatch):
    asked = []

    def create_model(name, pretrained):
        asked.append((name, pretrained))
        return torch.nn.Linear(2, 2)

    architecture = find_architecture("timm:test_resnet")
    monkeypatch.setattr(timm, "create_model", create_model)
    assert set(architecture.published_weights()) == {"weight", "bias"}
    assert asked == [("test_resnet", True)]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("timm:resnet_18", r"must name a model that timm .* has, but is 'timm:resnet_18'\. Did you mean 'resnet18'"),
        ("timm:deit_tiny_distilled_patch16_224", "must end in one linear layer .* is tuple; take another"),
        ("timm:resnetv2_50x1_bit", "must end in one linear layer .* is Conv2d; take another"),
    ],
)
def test_a_model_that_cannot_be_a_backbone_is_refused_with_the_reason(timm, name, reason):
    with pytest.raises(BackboneError, match=reason):
        find_architecture(name)


def test_without_timm_the_error_says_how_to_install_it(monkeypatch):
    def absent(name):
        raise ModuleNotFoundError(f"No module named {name!r}")

    monkeypatch.setattr(timm_model, "import_module", absent)
    timm_model._make.cache_clear()
    with pytest.raises(BackboneError, match=r"have timm installed, but No module .*; pip install 'pretrieve\[timm\]'"):
        find_architecture("timm:resnet18")
