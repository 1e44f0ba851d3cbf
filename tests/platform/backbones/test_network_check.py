"""A network that cannot be a backbone is refused by name and reason after two images; others are left as they are."""

from __future__ import annotations

from dataclasses import replace

import own_networks
import pytest
import torch
from torch import nn

from pretrieve.backbones import Architecture, at_image_size, find_architecture
from pretrieve.backbones.network_check import check_network
from pretrieve.errors import BackboneError

REFUSED = {
    "auxiliary": (own_networks.two_outputs, "'own_networks:two_outputs' at 32 px in training mode returns a tuple"),
    "size": (at_image_size(own_networks.tied, 48), "'own_networks:tied@48' at 48 px cannot predict: RuntimeError"),
    "gradients": (own_networks.detached, "no weight of 'own_networks:detached' at 32 px in training mode changes"),
    "builder": (own_networks.failing, "cannot be built: OSError: no licence for this network"),
    "length": (replace(own_networks.narrow, feature_dim=9), r"one row of 9 numbers .* returns \(2, 16\) torch.float32"),
    "a map": (own_networks.architecture(lambda: nn.Conv2d(3, 16, 3), "map"), r"returns \(2, 16, 30, 30\)"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_a_network_that_cannot_be_used_is_refused_with_its_name_and_the_reason(kind: str) -> None:
    architecture, reason = REFUSED[kind]
    with pytest.raises(BackboneError, match=reason):
        check_network(architecture)


def test_a_network_that_only_selects_needs_no_gradient() -> None:
    assert check_network(own_networks.detached, is_trained=False) is None
    assert check_network(own_networks.two_outputs, is_trained=False) is None


def frozen() -> nn.Module:
    return own_networks.LayerDrop().requires_grad_(False)


@pytest.mark.parametrize(
    "architecture",
    [
        find_architecture("small_resnet"),
        own_networks.architecture(own_networks.LayerDrop, "layer_drop"),
        own_networks.architecture(frozen, "frozen"),
        own_networks.tied,
    ],
)
def test_others_pass_and_the_random_state_stays(architecture: Architecture) -> None:
    before = torch.get_rng_state()
    assert check_network(architecture) is None
    assert torch.get_rng_state().equal(before)


def test_a_network_that_keeps_torchs_order_says_why() -> None:
    reason = check_network(own_networks.narrow)
    assert reason == "it has a strided 1 × 1 convolution of 8 channels, for which oneDNN fails on a CPU"
