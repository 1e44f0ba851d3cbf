from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from pretrieve.backbones import (
    Backbone,
    BackboneParts,
    Projector,
    _base,
    find_architecture,
    keep_backbone,
    parts_of_checkpoint,
)
from pretrieve.backbones.backbone import identify
from pretrieve.backbones.state_dicts import load_weights, read_weights, write_weights
from pretrieve.errors import BackboneError

ARCHITECTURE = find_architecture("small_resnet")


@pytest.fixture
def network():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return ARCHITECTURE.build()


class RunsCode:
    """Unpickled, it makes a file: what a checkpoint from the internet must not be able to do."""

    def __init__(self, victim):
        self.victim = victim

    def __reduce__(self):
        return Path.touch, (self.victim,)


def test_saved_weights_come_back_to_the_bit_and_keep_their_identity(network, tmp_path):
    identity = identify(ARCHITECTURE, network.state_dict())
    write_weights(network.state_dict(), tmp_path / "new" / "weights.pt")
    loaded = Backbone("small_resnet", tmp_path / "new" / "weights.pt", identity).load()
    for name, value in network.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value), name
    assert identify(ARCHITECTURE, loaded.state_dict()) == identity
    assert list((tmp_path / "new").iterdir()) == [tmp_path / "new" / "weights.pt"]


def test_one_changed_weight_changes_the_identity(network):
    before = identify(ARCHITECTURE, network.state_dict())
    identities = {before}
    for value in network.state_dict().values():
        kept = value.clone()
        value.view(-1)[-1] += 1
        identities.add(identify(ARCHITECTURE, network.state_dict()))
        value.copy_(kept)
    assert len(identities) == 1 + len(network.state_dict())
    assert identify(ARCHITECTURE, network.state_dict()) == before


def test_architecture_and_preprocessing_are_part_of_the_identity(network):
    state = network.state_dict()
    larger = replace(ARCHITECTURE, preprocessing=replace(ARCHITECTURE.preprocessing, resize_size=40))
    changed = [replace(ARCHITECTURE, name="other"), larger, replace(ARCHITECTURE, version="2")]
    assert len({identify(kind, state) for kind in (ARCHITECTURE, *changed)}) == 4


def test_neither_order_nor_layout_of_the_weights_changes_the_identity(network):
    state = network.state_dict()
    same = {
        name: value.to(memory_format=torch.channels_last) if value.ndim == 4 else value for name, value in state.items()
    }
    assert identify(ARCHITECTURE, dict(reversed(same.items()))) == identify(ARCHITECTURE, state)


def test_the_same_bytes_in_another_shape_or_type_are_another_backbone():
    weights = torch.arange(6, dtype=torch.float32)
    states = [{"w": weights}, {"w": weights.view(2, 3)}, {"w": weights.view(torch.int32)}, {"v": weights}]
    assert len({identify(ARCHITECTURE, state) for state in states}) == 4


def _head(num_classes=10, feature_dim=64):
    generator = torch.Generator().manual_seed(3)
    weight = torch.randn((num_classes, feature_dim), generator=generator)
    return {"weight": weight, "bias": torch.randn(num_classes, generator=generator)}


@pytest.fixture
def projecting(monkeypatch):
    """The small network with a layer behind it for the features of the selection."""
    architecture = replace(ARCHITECTURE, name="projecting", projector=Projector(5, lambda: nn.Linear(64, 5)))
    monkeypatch.setitem(_base._architectures, "projecting", architecture)
    return architecture


def test_a_kept_backbone_gives_back_trunk_projector_and_classifier(network, projecting, tmp_path):
    parts = BackboneParts(network.state_dict(), _head(5), _head(10))
    backbone = keep_backbone(projecting, parts, tmp_path)
    images = torch.randn((3, 3, 32, 32), generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        trunk_features = network.eval()(images)
        torch.testing.assert_close(backbone.load().eval()(images), trunk_features)
        features = backbone.load_feature_network().eval()(images)
        torch.testing.assert_close(features, trunk_features @ _head(5)["weight"].T + _head(5)["bias"])
        logits = backbone.load_classifier()(trunk_features)
        torch.testing.assert_close(logits, trunk_features @ _head(10)["weight"].T + _head(10)["bias"])
    assert features.shape == (3, projecting.selection_dim) == (3, 5)
    assert backbone.architecture.feature_dim == 64


def test_each_part_is_part_of_the_identity(network, tmp_path):
    state = network.state_dict()
    parts = [
        BackboneParts(state),
        BackboneParts(state, _head(5)),
        BackboneParts(state, _head(6)),
        BackboneParts(state, classifier=_head(5)),
        BackboneParts(state, _head(5), _head(10)),
    ]
    assert len({identify(ARCHITECTURE, each.joined()) for each in parts}) == 5
    assert all(BackboneParts.of_joined(each.joined()) == each for each in parts)


def test_without_projector_and_classifier_the_trunk_is_everything(network, tmp_path):
    backbone = keep_backbone(ARCHITECTURE, BackboneParts(network.state_dict()), tmp_path)
    assert backbone.load_classifier() is None
    assert ARCHITECTURE.selection_dim == ARCHITECTURE.feature_dim
    images = torch.randn((2, 3, 32, 32), generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        torch.testing.assert_close(backbone.load_feature_network().eval()(images), backbone.load().eval()(images))


def test_a_classifier_without_a_bias_is_kept_without_one(network, tmp_path):
    state = network.state_dict() | {"fc.weight": _head()["weight"]}
    parts = parts_of_checkpoint(ARCHITECTURE, state, origin="the test")
    classifier = keep_backbone(ARCHITECTURE, parts, tmp_path).load_classifier()
    assert classifier.bias is None
    assert torch.equal(classifier.weight, _head()["weight"])


def test_the_faults_of_all_parts_are_told_together(network, projecting):
    trunk = network.state_dict()
    del trunk["stem.0.weight"]
    parts = BackboneParts(
        trunk, {"weight": torch.zeros(5, 32), "0.bias": torch.zeros(5)}, {"weight": torch.zeros(9, 32)}
    )
    with pytest.raises(BackboneError) as raised:
        parts_of_checkpoint(replace(projecting, split=lambda state: parts), {}, origin="a.pt")
    assert str(raised.value) == (
        "the weights of a.pt must fit the network, but: missing stem.0.weight; missing bias of the projector; "
        "left over 0.bias of the projector; weight of the projector has shape (5, 32), not (5, 64); "
        "weight of the classifier has shape (9, 32), not (9, 64)"
    )


@pytest.mark.parametrize(
    ("head", "fault"),
    [
        ({"fc.bias": torch.zeros(4)}, "missing weight of the classifier"),
        (
            {"fc.weight": torch.zeros(4, 64), "fc.bias": torch.zeros(5)},
            r"bias of the classifier has shape \(5,\), not \(4",
        ),
        ({"fc.0.weight": torch.zeros(4, 64)}, r"left over 0\.weight of the classifier"),
        ({"fc.weight": torch.tensor(0.0)}, r"weight of the classifier has shape \(\), not"),
    ],
)
def test_a_classifier_that_is_no_linear_layer_over_the_feature_is_refused(network, head, fault):
    with pytest.raises(BackboneError, match=fault):
        parts_of_checkpoint(ARCHITECTURE, network.state_dict() | head, origin="a.pt")


def test_a_kept_file_without_its_projector_is_refused_by_the_feature_network_only(network, projecting, tmp_path):
    backbone = keep_backbone(projecting, BackboneParts(network.state_dict()), tmp_path)
    assert len(backbone.load().state_dict()) == len(network.state_dict())
    with pytest.raises(BackboneError, match=r"weights\.pt must fit .* missing weight of the projector"):
        backbone.load_feature_network()


def test_loading_leaves_the_callers_random_state_as_it_was(network, projecting, tmp_path):
    parts = parts_of_checkpoint(ARCHITECTURE, network.state_dict(), origin="the test")
    backbone = keep_backbone(projecting, replace(parts, projector=_head(5), classifier=_head()), tmp_path)
    before = torch.random.get_rng_state()
    backbone.load_feature_network(), backbone.load_classifier()
    assert torch.random.get_rng_state().equal(before)


def test_weights_in_half_precision_are_kept_in_the_networks_own(network, tmp_path):
    halves = {
        name: value.half() if value.is_floating_point() else value for name, value in network.state_dict().items()
    }
    head = {f"fc.{name}": value.half() for name, value in _head().items()}
    parts = parts_of_checkpoint(ARCHITECTURE, halves | head, origin="the test")
    assert {value.dtype for value in parts.joined().values()} == {torch.float32, torch.int64}


def test_counters_that_old_checkpoints_lack_start_at_zero(network):
    state = {name: value for name, value in network.state_dict().items() if not name.endswith("num_batches_tracked")}
    parts = parts_of_checkpoint(ARCHITECTURE, state, origin="the test")
    assert parts.trunk.keys() == network.state_dict().keys()
    assert parts.trunk["stem.1.num_batches_tracked"] == 0


def test_every_fault_of_the_weights_is_named_and_nothing_is_loaded(network):
    state = network.state_dict() | {"extra.bias": torch.ones(1), "stem.1.bias": torch.ones(3)}
    del state["stem.0.weight"]
    target = ARCHITECTURE.build()
    before = {name: value.clone() for name, value in target.state_dict().items()}
    message = (
        r"the weights of a\.pt must fit the network, but: missing stem\.0\.weight; left over extra\.bias; "
        r"stem\.1\.bias has shape \(3,\), not \(16,\)$"
    )
    with pytest.raises(BackboneError, match=message):
        load_weights(target, state, origin="a.pt")
    assert all(torch.equal(value, before[name]) for name, value in target.state_dict().items())


def test_of_many_faults_six_are_named_and_the_others_counted(network):
    total = sum(not name.endswith("num_batches_tracked") for name in network.state_dict())
    with pytest.raises(BackboneError, match=rf"missing stem\.0\.weight; .*; and {total - 6} more$") as raised:
        load_weights(network, {}, origin="a.pt")
    assert str(raised.value).count("missing") == 6


def test_code_in_a_checkpoint_is_refused_and_does_not_run(tmp_path):
    torch.save({"state_dict": {}, "code": RunsCode(tmp_path / "it ran")}, tmp_path / "weights.pt")
    with pytest.raises(BackboneError, match=r"readable state dict of tensors, but .*weights\.pt: UnpicklingError"):
        read_weights(tmp_path / "weights.pt")
    assert not (tmp_path / "it ran").exists()


def test_a_missing_file_is_refused_by_name(tmp_path):
    with pytest.raises(BackboneError, match=r"readable state dict of tensors, but .*gone\.pt: FileNotFoundError"):
        read_weights(tmp_path / "gone.pt")


def test_a_file_that_breaks_off_is_refused(network, tmp_path):
    write_weights(network.state_dict(), tmp_path / "weights.pt")
    content = (tmp_path / "weights.pt").read_bytes()
    (tmp_path / "weights.pt").write_bytes(content[: len(content) // 2])
    with pytest.raises(BackboneError, match=r"must be a readable state dict of tensors, but .*weights\.pt"):
        read_weights(tmp_path / "weights.pt")


@pytest.mark.parametrize("value", [torch.ones(3), [torch.ones(3)], {"epoch": 3}, {"state_dict": [1]}])
def test_a_file_of_another_thing_is_refused(tmp_path, value):
    torch.save(value, tmp_path / "weights.pt")
    with pytest.raises(BackboneError, match=r"a mapping of names to tensors, but .*weights\.pt holds another thing"):
        read_weights(tmp_path / "weights.pt")


@pytest.mark.filterwarnings("ignore:Validating sparse tensor invariants")
@pytest.mark.parametrize(
    ("value", "fault"),
    [
        ({0: torch.ones(3)}, "holds another thing under 0"),
        ({"a": torch.ones(3).to_sparse()}, "holds another thing under 'a'"),
        ({"model": {"a": torch.ones(3)}, "epoch": 3}, r"under 'model', 'epoch'; save the right part: .*\['model'\]"),
    ],
)
def test_a_checkpoint_of_another_form_is_told_with_its_keys(tmp_path, value, fault):
    torch.save(value, tmp_path / "weights.pt")
    with pytest.raises(BackboneError, match=fault):
        read_weights(tmp_path / "weights.pt")
