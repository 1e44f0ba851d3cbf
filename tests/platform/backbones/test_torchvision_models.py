import pytest
import torch
from torchvision import models
from torchvision.models.feature_extraction import create_feature_extractor

from pretrieve.backbones import Backbone, Preprocessing, find_architecture, keep_backbone, parts_of_checkpoint
from pretrieve.errors import BackboneError

PENULTIMATE = {
    "mobilenet_v3_small": ("classifier.2", 1024),
    "shufflenet_v2_x0_5": ("mean", 1024),
    "efficientnet_b0": ("classifier.0", 1280),
    "mnasnet0_5": ("classifier.0", 1280),
    "swin_t": ("flatten", 768),
    "regnet_y_400mf": ("flatten", 440),
    "densenet121": ("flatten", 1024),
}
"""Name of the node whose output is the feature, and its length."""


def _classifier(name):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = models.get_model(name, weights=None)
        for buffer_name, buffer in network.named_buffers():
            if buffer_name.endswith("running_var"):
                buffer.copy_(torch.rand_like(buffer) + 0.5)
    return network.eval()


@pytest.mark.parametrize("name", PENULTIMATE)
def test_a_whole_classifiers_weights_give_its_penultimate_layer_and_its_classifier(name, tmp_path):
    node, feature_dim = PENULTIMATE[name]
    whole, architecture = _classifier(name), find_architecture(name)
    parts = parts_of_checkpoint(architecture, whole.state_dict(), origin="the test")
    kept = keep_backbone(architecture, parts, tmp_path)
    backbone = Backbone(name, kept.weights_path, kept.identity)
    images = torch.randn((2, 3, 64, 64), generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        features = backbone.load().eval()(images)
        expected = create_feature_extractor(whole, {node: "feature"})(images)["feature"]
        torch.testing.assert_close(features, expected)
        torch.testing.assert_close(backbone.load_classifier()(features), whole(images))
    assert features.shape == (2, feature_dim) == (2, architecture.feature_dim)
    assert features.abs().max() > 0


def test_a_vision_transformer_works_at_its_own_size_and_at_no_other():
    architecture = find_architecture("vit_b_32")
    assert (architecture.feature_dim, architecture.preprocessing.image_size) == (768, 224)
    with torch.inference_mode(), torch.device("meta"):
        assert architecture.build()(torch.empty(2, 3, 224, 224)).shape == (2, 768)
    with pytest.raises(BackboneError, match=r"'vit_b_32' must see images of 224 px, because .* image_size is 96"):
        find_architecture("vit_b_32@96")


@pytest.mark.parametrize("name", ["efficientnet_v2_s", "mobilenet_v2", "swin_v2_t", "vit_h_14"])
def test_preprocessing_is_that_of_torchvisions_default_weights(name):
    own = models.get_model_weights(name).DEFAULT.transforms()
    expected = Preprocessing(own.resize_size[0], own.crop_size[0], tuple(own.mean), tuple(own.std))
    assert find_architecture(name).preprocessing == expected


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("googlenet", "must return features alone, but 'googlenet' .* auxiliary heads"),
        ("inception_v3", "must return features alone, but 'inception_v3' .* auxiliary heads"),
        ("squeezenet1_1", "must end in a linear layer .* 'squeezenet1_1' has none; take another network"),
        ("deeplabv3_resnet50", "must be one of"),  # segments, and does not classify
    ],
)
def test_a_network_that_cannot_be_a_backbone_is_refused_with_the_reason(name, reason):
    with pytest.raises(BackboneError, match=reason):
        find_architecture(name)


def test_published_weights_are_torchvisions_defaults_checked_by_hash(monkeypatch):
    published, asked = _classifier("mobilenet_v3_small").state_dict(), {}

    def get_state_dict(weights, **options):
        asked.update(options, weights=weights)
        return published

    monkeypatch.setattr(models.WeightsEnum, "get_state_dict", get_state_dict)
    loaded = find_architecture("mobilenet_v3_small").published_weights()
    assert loaded.keys() == published.keys()
    assert torch.equal(loaded["classifier.3.bias"], published["classifier.3.bias"])
    assert asked["weights"] == models.MobileNet_V3_Small_Weights.DEFAULT
    assert asked["check_hash"] is True
    assert asked["weights_only"] is True, "a file that was fetched before is not checked by its hash again"


def test_a_published_densenets_old_keys_are_understood():
    state = _classifier("densenet121").state_dict()
    old = {
        name.replace("norm1.", "norm.1.").replace("norm2.", "norm.2.").replace("conv2.", "conv.2.")
        if ".denselayer" in name
        else name: value
        for name, value in state.items()
    }
    assert old.keys() != state.keys()
    parts = parts_of_checkpoint(find_architecture("densenet121"), old, origin="the test")
    assert parts.trunk.keys() | {"classifier.weight", "classifier.bias"} == state.keys()


def test_wrong_weights_are_named():
    state = _classifier("mobilenet_v3_small").state_dict() | {"classifier.3.weight": torch.zeros(1000, 576)}
    with pytest.raises(BackboneError, match=r"weight of the classifier has shape \(1000, 576\), not \(1000, 1024\)"):
        parts_of_checkpoint(find_architecture("mobilenet_v3_small"), state, origin="a.pt")
