from dataclasses import replace
from pathlib import Path

import pytest
import torch

from pretrieve.backbones import Backbone, find_architecture
from pretrieve.backbones.backbone import identify, load_weights, read_weights, save_weights
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
    save_weights(network, tmp_path / "new" / "weights.pt")
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
    identities = [identify(kind, state) for kind in (ARCHITECTURE, replace(ARCHITECTURE, name="other"), larger)]
    assert len(set(identities)) == 3


def test_neither_a_classifiers_head_nor_the_order_or_layout_of_weights_changes_the_identity(network):
    state = network.state_dict()
    same = {
        name: value.to(memory_format=torch.channels_last) if value.ndim == 4 else value for name, value in state.items()
    }
    same = dict(reversed(same.items())) | {"fc.weight": torch.ones((10, 64)), "fc.bias": torch.ones(10)}
    assert identify(ARCHITECTURE, same) == identify(ARCHITECTURE, state)


def test_the_same_bytes_in_another_shape_or_type_are_another_backbone():
    weights = torch.arange(6, dtype=torch.float32)
    states = [{"w": weights}, {"w": weights.view(2, 3)}, {"w": weights.view(torch.int32)}, {"v": weights}]
    assert len({identify(ARCHITECTURE, state) for state in states}) == 4


def test_a_classifiers_head_is_dropped(network):
    target = ARCHITECTURE.build()
    state = network.state_dict() | {"fc.weight": torch.ones((10, 64)), "fc.bias": torch.ones(10)}
    load_weights(target, state, origin="the test")
    assert torch.equal(target.state_dict()["stem.0.weight"], network.state_dict()["stem.0.weight"])


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
    total = len(network.state_dict())
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
    save_weights(network, tmp_path / "weights.pt")
    content = (tmp_path / "weights.pt").read_bytes()
    (tmp_path / "weights.pt").write_bytes(content[: len(content) // 2])
    with pytest.raises(BackboneError, match=r"must be a readable state dict of tensors, but .*weights\.pt"):
        read_weights(tmp_path / "weights.pt")


@pytest.mark.parametrize("value", [torch.ones(3), [torch.ones(3)], {"epoch": 3}, {"state_dict": [1]}])
def test_a_file_of_another_thing_is_refused(tmp_path, value):
    torch.save(value, tmp_path / "weights.pt")
    with pytest.raises(BackboneError, match=r"a mapping of names to tensors, but .*weights\.pt holds another thing"):
        read_weights(tmp_path / "weights.pt")
