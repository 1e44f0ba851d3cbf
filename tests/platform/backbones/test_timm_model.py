import pickle

import pytest
import torch
import torch.nn.functional as F

from pretrieve.backbones import find_architecture, keep_backbone, parts_of_checkpoint, timm_model
from pretrieve.backbones.backbone import identify
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


def randomised(network):
    """Change all weights: fresh ones hide layers behind scales near zero."""
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    return network.eval()


def loaded(name, state, tmp_path):
    architecture = find_architecture(name)
    return keep_backbone(architecture, parts_of_checkpoint(architecture, state, origin="the test"), tmp_path)


def images_of(size):
    return torch.randn((2, 3, size, size), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    ("model", "size"),
    [
        pytest.param("vit_small_patch14_reg4_dinov2", 42, marks=pytest.mark.slow),  # own size 518
        ("vit_tiny_patch16_dinov3_qkvb", 48),  # rotary: no embeddings of positions among its weights
        pytest.param("vit_base_patch32_siglip_256", 64, marks=pytest.mark.slow),  # pools by attention
    ],
)
def test_a_tower_without_a_classifier_gives_what_timm_gives_at_another_size(timm, model, size, tmp_path):
    state = randomised(timm.create_model(model)).state_dict()
    own_loading = {"pretrained": True, "pretrained_cfg_overlay": {"state_dict": dict(state)}}
    reference = timm.create_model(model, img_size=size, **own_loading).eval()
    backbone = loaded(f"timm:{model}@{size}", state, tmp_path)
    with torch.inference_mode():
        features = backbone.load().eval()(images_of(size))
        expected = reference.forward_head(reference.forward_features(images_of(size)), pre_logits=True)
    torch.testing.assert_close(features, expected)
    assert not torch.allclose(features[0], features[1])
    assert features.shape == (2, backbone.architecture.feature_dim)
    assert backbone.load_classifier() is None


def test_convolutional_towers_take_any_size_and_the_feature_of_clip_is_what_its_projection_gets(timm):
    convolutional, clip = (
        find_architecture(f"timm:{n}@64") for n in ("resnet50_clip_gap", "vit_xsmall_patch16_clip_224")
    )
    assert (convolutional.feature_dim, convolutional.takes_any_size) == (2048, True)
    assert (clip.feature_dim, clip.takes_any_size) == (256, False)


@pytest.mark.parametrize(
    ("model", "pool", "size", "pooled"),
    [
        ("test_vit", "avg", 160, lambda tokens: tokens[:, 1:].mean(1)),  # its own: the class token
        ("vit_tiny_patch16_dinov3_qkvb", "token", 64, lambda tokens: tokens[:, 0]),  # its own: the mean
        ("test_vit3", "avg", 160, lambda tokens: tokens.mean(1)),  # its own: by attention, whose weights are left out
    ],
)
def test_the_name_may_say_how_the_feature_is_pooled(timm, model, pool, size, pooled, tmp_path):
    whole = randomised(timm.create_model(model))
    backbone = loaded(f"timm:{model}?pool={pool}@{size}", whole.state_dict(), tmp_path)
    with torch.inference_mode():
        expected = pooled(whole.forward_features(images_of(size)))
        torch.testing.assert_close(backbone.load().eval()(images_of(size)), expected)
    assert backbone.load_classifier() is None, "a classifier belongs to the feature that it was trained on"


def test_at_another_size_only_the_embeddings_of_positions_are_resampled(timm):
    architecture, state = find_architecture("timm:test_vit@96"), timm.create_model("test_vit").state_dict()
    trunk = parts_of_checkpoint(architecture, state, origin="the test").trunk
    token, grid = state["pos_embed"][:, :1], state["pos_embed"][:, 1:].reshape(1, 10, 10, 64).permute(0, 3, 1, 2)
    grid = F.interpolate(grid, size=(6, 6), mode="bicubic", antialias=True).permute(0, 2, 3, 1).reshape(1, 36, 64)
    torch.testing.assert_close(trunk["pos_embed"], torch.cat([token, grid], 1))
    assert all(torch.equal(value, state[name]) for name, value in trunk.items() if name != "pos_embed")
    assert (architecture.preprocessing.image_size, architecture.preprocessing.resize_size) == (96, 101)
    assert pickle.loads(pickle.dumps(architecture)).split(state).trunk.keys() == trunk.keys()

    again = parts_of_checkpoint(architecture, trunk, origin="a checkpoint of 96 px").trunk
    assert torch.equal(again["pos_embed"], trunk["pos_embed"])
    with pytest.raises(BackboneError, match=r"pos_embed has shape \(1, 37, 64\), not \(1, 26, 64\)"):
        parts_of_checkpoint(find_architecture("timm:test_vit@80"), trunk, origin="a checkpoint of 96 px")


def test_networks_of_other_sizes_and_poolings_are_backbones_of_their_own(timm):
    names = ["timm:test_vit", "timm:test_vit@96", "timm:test_vit?pool=avg", "timm:test_vit?pool=avg@96"]
    assert [find_architecture(name).name for name in names] == names
    assert len({identify(find_architecture(name), {}) for name in names}) == 4


def test_a_network_whose_other_weights_depend_on_the_size_is_tied_to_it(timm):
    with pytest.raises(
        BackboneError, match=r"'timm:beit_base_patch16_224' must see images of 224 px, .* is 96; choose"
    ):
        find_architecture("timm:beit_base_patch16_224@96")
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
        ("timm:volo_d1_224", "'timm:volo_d1_224' uses the output of its classifier again, as auxiliary heads do"),
        ("timm:levit_128s", "must end in one linear layer .* is tuple; take another"),
        ("timm:efficientformer_l1", "must end in one linear layer .* is tuple; take another"),
        ("timm:halonet26t@96", "at 96 px ends in AssertionError"),
        ("timm:deit_tiny_distilled_patch16_224", "must end in one linear layer .* is tuple; take another"),
        ("timm:resnetv2_50x1_bit", "must end in one linear layer .* is Conv2d; take another"),
        ("timm:gemma4_vit_167m_enc", "must end in one linear layer .* is NoneType; take another"),
        (
            "timm:test_vit?pool=",
            r"one feature an image, \(N, D\), but what .* for one image is of shape \(1, 101, 64\)",
        ),
        ("timm:test_vit?pool=mean", r"'timm:test_vit\?pool=mean' at 160 px ends in AssertionError: .*; take another"),
        ("timm:test_vit3?pool=token", r"at 160 px ends in AssertionError: Token pooling needs the class token"),
        ("timm:vit_tiny_patch16_dinov3_qkvb@40", r"at 40 px ends in AssertionError: Input height \(40\) should be div"),
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
