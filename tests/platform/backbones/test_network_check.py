"""A network that cannot be a backbone is refused by name and reason after two images; others are left as they are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import own_networks
import pytest
import torch
from torch import Tensor, nn

from pretrieve.backbones import Architecture, at_image_size, find_architecture
from pretrieve.backbones.network_check import check_network
from pretrieve.errors import BackboneError


class Returns(nn.Module):
    """Passes what another function makes of the features of a small network."""

    def __init__(self, make: Callable[[nn.Module, Tensor], object]) -> None:
        super().__init__()
        self.stem, self.make = nn.Conv2d(3, 16, 3, 2), make

    def forward(self, images: Tensor) -> object:
        """Map (N, 3, S, S) to what `make` gives for (N, 16, S', S')."""
        return self.make(self, self.stem(images))


def returns(make: Callable[[nn.Module, Tensor], object], name: str) -> Architecture:
    return own_networks.architecture(partial(Returns, make), name)


def in_training(network: nn.Module, features: Tensor, further: Callable[[Tensor], object]) -> object:
    return further(features.mean((2, 3))) if network.training else features.mean((2, 3))


def overwritten(network: nn.Module, features: Tensor) -> Tensor:
    squashed = features.sigmoid()
    squashed.mul_(2)
    return squashed.mean((2, 3))


REFUSED = {
    "auxiliary, a dictionary": (
        returns(lambda n, x: in_training(n, x, lambda y: {"features": y, "aux": y}), "dictionary"),
        "'own_networks:dictionary' at 32 px in training mode returns a dict",
    ),
    "auxiliary, a list": (
        returns(lambda n, x: in_training(n, x, lambda y: [y, y]), "two"),
        "'own_networks:two' at 32 px in training mode returns a list",
    ),
    "auxiliary, joined": (
        returns(lambda n, x: in_training(n, x, lambda y: torch.cat([y, y[:, :4]], 1)), "joined"),
        r"'own_networks:joined' at 32 px in training mode returns \(2, 20\) torch.float32 for 2 images",
    ),
    "size, a flat map": (
        at_image_size(
            own_networks.architecture(
                lambda: nn.Sequential(nn.Conv2d(3, 4, 4, 4), nn.Flatten(), nn.Linear(256, 16)), "flat"
            ),
            40,
        ),
        "'own_networks:flat@40' at 40 px cannot predict: RuntimeError: mat1 and mat2 shapes cannot be multiplied",
    ),
    "size, rows of a fixed length": (
        returns(lambda n, x: x.reshape(-1, 16), "rows"),
        r"'own_networks:rows' at 32 px returns \(450, 16\) torch.float32 for 2 images",
    ),
    "size, patches": (
        at_image_size(own_networks.tied, 30),
        "'own_networks:tied@30' at 30 px cannot predict: RuntimeError: The size of tensor a",
    ),
    "no head, classes": (returns(lambda n, x: x.mean((2, 3)).argmax(1), "classes"), r"returns \(2,\) torch.int64"),
    "no head, not flat": (
        returns(lambda n, x: x.mean((2, 3), keepdim=True), "not_flat"),
        r"returns \(2, 16, 1, 1\) torch.float32",
    ),
    "no head, nothing": (returns(lambda n, x: None, "nothing"), "'own_networks:nothing' at 32 px returns a NoneType"),
    "gradients, overwritten": (
        returns(overwritten, "overwritten"),
        "'own_networks:overwritten' at 32 px in training mode has no gradient: RuntimeError: one of the variables",
    ),
    "gradients, of copies": (
        returns(lambda n, x: torch.tensor(x.mean((2, 3)).tolist()), "copies"),
        "no weight of 'own_networks:copies' at 32 px in training mode changes its features",
    ),
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
