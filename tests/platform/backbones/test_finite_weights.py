"""Weights and statistics that are no numbers are refused by name, before a study uses them."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from pretrieve.backbones import Backbone, BackboneParts, find_architecture, keep_backbone, parts_of_checkpoint
from pretrieve.backbones.state_dicts import StateDict, load_weights, read_weights, write_weights
from pretrieve.errors import BackboneError

ARCHITECTURE = find_architecture("small_resnet")


def changed(name: str, value: float, where: int = 0) -> StateDict:
    state = ARCHITECTURE.build().state_dict()
    state[name].view(-1)[where] = value
    return state


def too_large() -> StateDict:
    state = ARCHITECTURE.build().state_dict()
    return state | {"stem.0.weight": state["stem.0.weight"].double() + 1e300}


def of_another_kind(dtype: torch.dtype) -> StateDict:
    state = ARCHITECTURE.build().state_dict()
    return state | {"stem.0.weight": (100 * state["stem.0.weight"]).to(dtype)}


SPOILT: dict[str, tuple[Callable[[], StateDict], str]] = {
    "a variance": (
        lambda: changed("stages.2.norm2.running_var", float("inf"), 3),
        "stages.2.norm2.running_var: 1 of 64",
    ),
    "a weight": (lambda: changed("stages.0.conv1.weight", float("-inf"), 7), "stages.0.conv1.weight: 1 of 2304"),
    "a variance below 0": (
        lambda: changed("stages.2.norm2.running_var", -0.5, 3),
        "stages.2.norm2.running_var: 1 of 64",
    ),
    "quantised": (lambda: of_another_kind(torch.int8), "stem.0.weight: torch.int8 in place of torch.float32"),
    "complex": (lambda: of_another_kind(torch.complex64), "stem.0.weight: torch.complex64 in place of torch.float32"),
    "a float64": (too_large, "stem.0.weight: 432 of 432"),
}


@pytest.mark.parametrize("kind", SPOILT)
def test_a_checkpoint_with_a_value_that_is_no_number_is_refused_by_name(kind: str, tmp_path: Path) -> None:
    make, expected = SPOILT[kind]
    with pytest.raises(BackboneError, match=rf"a\.pt must be finite numbers.*{re.escape(expected)}; give"):
        parts_of_checkpoint(ARCHITECTURE, make(), origin="a.pt")
    path = tmp_path / "weights.pt"
    write_weights(make(), path)
    with pytest.raises(BackboneError, match=re.escape(expected)):
        Backbone("small_resnet", path, "trunk").load()


def test_the_classifier_is_looked_at_too() -> None:
    head = {"fc.weight": torch.zeros(9, 64), "fc.bias": torch.full((9,), torch.nan)}
    with pytest.raises(BackboneError, match="bias of the classifier: 9 of 9"):
        parts_of_checkpoint(ARCHITECTURE, ARCHITECTURE.build().state_dict() | head, origin="a.pt")


class Masked(nn.Module):
    """Has the infinite values of a mask, as attention has them."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 2)
        self.register_buffer("mask", torch.full((2, 2), -torch.inf).triu(1))

    def forward(self, images: Tensor) -> Tensor:
        attention = self.get_buffer("mask").softmax(1)
        features: Tensor = self.linear(images.mean((2, 3))) @ attention
        return features


def test_infinite_values_that_a_fresh_network_has_too_are_right(tmp_path: Path) -> None:
    architecture = replace(ARCHITECTURE, name="masked", feature_dim=2, build=Masked)
    state = Masked().state_dict()
    parts = parts_of_checkpoint(architecture, state, origin="a.pt")
    assert parts.trunk["mask"].equal(state["mask"])
    keep_backbone(architecture, BackboneParts(parts.trunk), tmp_path)
    state["mask"][1, 0] = -torch.inf
    with pytest.raises(BackboneError, match="mask: 1 of 4"):
        parts_of_checkpoint(architecture, state, origin="a.pt")


def test_weights_that_are_all_zero_are_refused_but_a_fresh_classifier_is_not() -> None:
    zeros = {name: torch.zeros_like(value) for name, value in ARCHITECTURE.build().state_dict().items()}
    with pytest.raises(BackboneError, match=r"weights of a\.pt must not all be zero"):
        parts_of_checkpoint(ARCHITECTURE, zeros, origin="a.pt")
    load_weights(nn.Linear(3, 2), {"weight": torch.zeros(2, 3), "bias": torch.zeros(2)}, origin="a.pt")


def test_a_checkpoint_with_two_sets_of_weights_names_both(tmp_path: Path) -> None:
    state = ARCHITECTURE.build().state_dict()
    path = tmp_path / "last.pt"
    torch.save({"epoch": 3, "state_dict": state, "state_dict_ema": state, "optimizer": {"state": {}}}, path)
    with pytest.raises(
        BackboneError, match=r"several of the same network, 'state_dict', 'state_dict_ema'; save the one"
    ):
        read_weights(path)
    torch.save({"epoch": 3, "state_dict": state, "optimizer": {"state": {}}}, path)
    assert read_weights(path).keys() == state.keys()
