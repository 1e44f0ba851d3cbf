from __future__ import annotations

import copy
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pretrieve.backbones import find_architecture
from pretrieve.backbones.memory_format import use_fastest_format

SIZE = 16


class StridedByHand(nn.Module):
    """A narrow strided 1 × 1 convolution that is no module, with a weight of two dimensions."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 12, 3, padding=1)
        self.mixing = nn.Parameter(torch.randn(20, 12))

    def forward(self, images: Tensor) -> Tensor:
        return F.conv2d(self.stem(images), self.mixing[:, :, None, None], stride=(1, 3)).mean((2, 3))


class OnlyInTraining(nn.Module):
    """A narrow strided shortcut that prediction leaves out."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.shortcut = nn.Conv2d(3, 4, 3, 2, 1), nn.Conv2d(3, 4, 1, 2)

    def forward(self, images: Tensor) -> Tensor:
        return (self.body(images) + (self.shortcut(images) if self.training else 0)).mean((2, 3))


class FiveDimensionalTable(nn.Module):
    """Has a buffer of five dimensions, as tables of relative positions are."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 20, 3)
        self.register_buffer("table", torch.randn(1, 2, 1, 2, 5))

    def forward(self, images: Tensor) -> Tensor:
        return self.stem(images).mean((2, 3)) + self.get_buffer("table").flatten()


class ViewsItsMap(nn.Module):
    """Flattens a map by `view`, which the order of channels-last does not allow."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 20, 3, stride=4)

    def forward(self, images: Tensor) -> Tensor:
        return self.stem(images).view(len(images), -1)


class WrongGradient(torch.autograd.Function):
    """Returns its input; its gradient is wrong for channels-last images."""

    @staticmethod
    def forward(ctx: Any, maps: Tensor) -> Tensor:
        ctx.is_wrong = not maps.is_contiguous()
        return maps.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return gradients[0] * (2.0 if ctx.is_wrong else 1.0)


class WrongInBackward(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 20, 3)

    def forward(self, images: Tensor) -> Tensor:
        features: Tensor = WrongGradient.apply(self.stem(images)).mean((2, 3))
        return features


def compiled() -> nn.Module:
    network: nn.Module = torch.jit.trace(
        nn.Sequential(nn.Conv2d(3, 6, 3), nn.Conv2d(6, 20, 1, 2), nn.AdaptiveAvgPool2d(1), nn.Flatten()),
        torch.randn(1, 3, SIZE, SIZE),
    )
    return network


PLAIN: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "by hand": (StridedByHand, "1 × 1 convolution of 12 channels"),
    "only in training": (OnlyInTraining, "1 × 1 convolution of 3 channels"),
    "table": (FiveDimensionalTable, "table has five dimensions"),
    "view": (ViewsItsMap, "raises RuntimeError"),
    "gradient": (WrongInBackward, "features or gradients differ"),
    "compiled": (compiled, "1 × 1 convolution of 6 channels"),
}


@pytest.mark.filterwarnings("ignore:`torch.jit:FutureWarning")
@pytest.mark.parametrize("kind", PLAIN)
def test_a_network_that_channels_last_is_wrong_for_computes_as_in_plain_torch(
    kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    make, expected = PLAIN[kind]
    torch.manual_seed(0)
    network, twin = make(), make()
    twin.load_state_dict(network.state_dict())
    reason = use_fastest_format(network, SIZE)
    assert reason is not None
    assert expected in reason
    assert reason in caplog.text
    images = torch.randn(4, 3, SIZE, SIZE)
    features, plain = network(images.contiguous(memory_format=torch.channels_last)), twin(images)
    assert features.equal(plain)
    features.sum().backward()
    plain.sum().backward()
    for ours, theirs in zip(network.parameters(), twin.parameters(), strict=True):
        assert ours.is_contiguous()
        assert ours.grad is not None
        assert theirs.grad is not None
        assert ours.grad.equal(theirs.grad)


class VanishingGradients(nn.Module):
    """Its keys' bias changes no attention, so that its gradient is rounding alone."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 32, 4, stride=4)
        self.attention = nn.MultiheadAttention(32, 2, batch_first=True)

    def forward(self, images: Tensor) -> Tensor:
        tokens = self.stem(images).flatten(2).transpose(1, 2)
        mixed: Tensor = self.attention(tokens, tokens, tokens)[0]
        return mixed.mean(1)


def wide_shortcut() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 16, 3), nn.Conv2d(16, 8, 1, 2), nn.AdaptiveAvgPool2d(1), nn.Flatten())


def squeezes() -> nn.Module:
    """Narrow 1 × 1 convolutions without a stride, as squeeze-and-excitation has them."""
    return nn.Sequential(nn.Conv2d(3, 8, 3, 2), nn.Conv2d(8, 4, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten())


@pytest.mark.parametrize("make", [find_architecture("small_resnet").build, VanishingGradients, wide_shortcut, squeezes])
def test_a_safe_network_becomes_channels_last_and_is_left_as_it_was(make: Callable[[], nn.Module]) -> None:
    torch.manual_seed(0)
    network = make()
    next(network.children()).eval()
    twin = copy.deepcopy(network).to(memory_format=torch.channels_last)
    random_state = torch.get_rng_state()
    assert use_fastest_format(network, 32) is None
    assert torch.get_rng_state().equal(random_state)
    assert [module.training for module in network.modules()] == [module.training for module in twin.modules()]
    assert all(parameter.grad is None for parameter in network.parameters())
    state = twin.state_dict()
    assert all(value.equal(state[name]) for name, value in network.state_dict().items())
    for ours, theirs in zip(network.parameters(), twin.parameters(), strict=True):
        assert ours.stride() == theirs.stride()
    images = torch.randn(2, 3, 32, 32)
    assert network(images).equal(twin(images))


CRASHING = """
import torch
from torch import nn
from pretrieve.backbones.memory_format import use_fastest_format
torch.set_num_threads(1)
for channels, stride, size in ((2, 2, 64), (15, (1, 2), 64), (12, 4, 112)):
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    network = nn.Sequential(nn.Conv2d(3, channels, 3, padding=1), nn.Conv2d(channels, 8, 1, stride), *head)
    assert use_fastest_format(network, size), "torch mended it? look whether the rule is needed"
    images = torch.randn(4, 3, size, size).contiguous(memory_format=torch.channels_last)
    network(images).square().mean().backward()
"""


def test_convolutions_that_kill_a_process_in_channels_last_do_not() -> None:
    """In a process of its own, as each of them ends one by a memory error when it is channels-last."""
    ended = subprocess.run([sys.executable, "-c", CRASHING], capture_output=True, text=True, timeout=120)
    assert ended.returncode == 0, ended.stderr
