import pytest
import torch
from torchvision import models
from torchvision.models.feature_extraction import create_feature_extractor

from pretrieve.backbones import find_architecture, keep_backbone, parts_of_checkpoint
from pretrieve.backbones.state_dicts import read_weights


@pytest.fixture(scope="module")
def classifier():
    """torchvision's own ResNet18 with its classifier, random weights and batch-norm statistics."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = models.resnet18(weights=None)
        for name, buffer in network.named_buffers():
            if name.endswith("running_mean"):
                buffer.copy_(0.1 * torch.randn_like(buffer))
            elif name.endswith("running_var"):
                buffer.copy_(torch.rand_like(buffer) + 0.5)
    return network.eval()


@pytest.fixture(params=["bare", "under state_dict", "of DataParallel"])
def checkpoint(request, classifier, tmp_path):
    prefix = "module." if request.param == "of DataParallel" else ""
    state = {prefix + name: value for name, value in classifier.state_dict().items()}
    torch.save(state if request.param == "bare" else {"state_dict": state, "epoch": 90}, tmp_path / "resnet18.pt")
    return tmp_path / "resnet18.pt"


def test_a_whole_checkpoint_gives_torchvisions_penultimate_layer_and_its_classifier(classifier, checkpoint, tmp_path):
    architecture = find_architecture("resnet18")
    parts = parts_of_checkpoint(architecture, read_weights(checkpoint), origin="the test")
    backbone = keep_backbone(architecture, parts, tmp_path / "kept")
    images = torch.randn((2, 3, 224, 224), generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        expected = create_feature_extractor(classifier, {"flatten": "feature"})(images)["feature"]
        features = backbone.load().eval()(images)
    assert features.shape == (2, 512)
    assert features.abs().max() > 0.01
    torch.testing.assert_close(features, expected)
    with torch.inference_mode():
        torch.testing.assert_close(backbone.load_classifier()(features), classifier(images))


@pytest.mark.parametrize("name", ["resnet18", "resnet34", "resnet50"])
def test_published_weights_are_torchvisions_defaults_checked_by_hash(name, monkeypatch):
    asked = {}

    def get_state_dict(weights, **options):
        asked.update(options, weights=weights)
        return {"conv1.weight": torch.zeros(1)}

    monkeypatch.setattr(models.WeightsEnum, "get_state_dict", get_state_dict)
    assert list(find_architecture(name).published_weights()) == ["conv1.weight"]
    assert asked["weights"] == models.get_model_weights(name).DEFAULT
    assert asked["check_hash"] is True
    assert asked["weights_only"] is True, "a file that was fetched before is not checked by its hash again"
