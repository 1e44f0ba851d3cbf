import pytest
import torch
from torch import nn
from torchvision import models

from pretrieve.backbones import find_architecture, keep_backbone, parts_of_checkpoint
from pretrieve.backbones.state_dicts import read_weights
from pretrieve.errors import BackboneError

ARCHITECTURE = find_architecture("moco_resnet50")


@pytest.fixture(scope="module")
def encoder():
    """The query encoder as MoCo v2 builds it: torchvision's ResNet50 with an MLP of its own for `fc`."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = models.resnet50(weights=None, num_classes=128)
        network.fc = nn.Sequential(nn.Linear(2048, 2048), nn.ReLU(), network.fc)
        for name, buffer in network.named_buffers():
            if name.endswith("running_var"):
                buffer.copy_(torch.rand_like(buffer) + 0.5)
    return network.eval()


@pytest.fixture(scope="module")
def checkpoint(encoder, tmp_path_factory):
    """A file in the published layout; the key encoder's weights are others, so that a mix-up shows."""
    query = {f"module.encoder_q.{name}": value for name, value in encoder.state_dict().items()}
    key = {name.replace("encoder_q", "encoder_k"): value + 1 for name, value in query.items()}
    queue = {"module.queue": torch.zeros(128, 64), "module.queue_ptr": torch.zeros(1, dtype=torch.long)}
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.03, momentum=0.9).state_dict()
    path = tmp_path_factory.mktemp("moco") / "moco_v2_800ep_pretrain.pth.tar"
    content = {"epoch": 800, "arch": "resnet50", "state_dict": query | key | queue, "optimizer": optimizer}
    torch.save(content, path)
    return path


@pytest.fixture(scope="module")
def backbone(checkpoint, tmp_path_factory):
    parts = parts_of_checkpoint(ARCHITECTURE, read_weights(checkpoint), origin=str(checkpoint))
    return keep_backbone(ARCHITECTURE, parts, tmp_path_factory.mktemp("kept"))


@pytest.fixture(scope="module")
def images():
    return torch.randn((2, 3, 64, 64), generator=torch.Generator().manual_seed(1))


def test_the_selection_sees_the_mlp_heads_128_outputs(encoder, backbone, images):
    with torch.inference_mode():
        features = backbone.load_feature_network().eval()(images)
        torch.testing.assert_close(features, encoder(images))
    assert features.shape == (2, 128) == (2, ARCHITECTURE.selection_dim)
    assert features.std() > 1e-4


def test_fine_tuning_drops_the_head(encoder, backbone, images):
    with torch.inference_mode():
        features = backbone.load().eval()(images)
        torch.testing.assert_close(encoder.fc(features), encoder(images))
    assert features.shape == (2, 2048) == (2, ARCHITECTURE.feature_dim)


def test_no_labels_no_classifier_and_nothing_published_to_download(backbone):
    assert backbone.load_classifier() is None
    assert ARCHITECTURE.published_weights is None


def test_the_key_encoder_and_the_queue_are_not_kept(encoder, backbone):
    assert len(read_weights(backbone.weights_path)) == len(encoder.state_dict())


def test_the_query_encoder_alone_is_the_same_backbone(encoder, backbone, tmp_path):
    parts = parts_of_checkpoint(ARCHITECTURE, encoder.state_dict(), origin="the test")
    assert keep_backbone(ARCHITECTURE, parts, tmp_path).identity == backbone.identity


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"module.encoder_q.fc.2.weight": None}, r"but: missing 2\.weight of the projector$"),
        ({"module.encoder_q.conv1.weight": None}, r"but: missing conv1\.weight$"),
        ({"module.encoder_q.conv2.weight": torch.ones(1)}, r"but: left over conv2\.weight$"),
        ({"module.predictor.weight": torch.ones(1)}, r"but: left over predictor\.weight$"),
        ({"module.encoder_q.fc.2.bias": torch.ones(64)}, r"2\.bias of the projector has shape \(64,\), not \(128,\)$"),
    ],
)
def test_a_checkpoint_that_does_not_fit_is_refused_by_key(checkpoint, change, fault):
    state = {name: value for name, value in (read_weights(checkpoint) | change).items() if value is not None}
    with pytest.raises(BackboneError, match=fault):
        parts_of_checkpoint(ARCHITECTURE, state, origin="a.pt")


def test_a_supervised_resnet50_is_no_moco():
    with pytest.raises(BackboneError, match=r"missing 0\.weight of the projector.*left over weight of the projector"):
        parts_of_checkpoint(ARCHITECTURE, models.resnet50(weights=None).state_dict(), origin="a.pt")
