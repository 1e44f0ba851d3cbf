"""The contract suite accepts built-in backbones, and names what is wrong with a broken one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pretrieve.backbones import Architecture, Preprocessing, Projector, find_architecture
from pretrieve.testing import check_backbone

PREPROCESSING = Preprocessing(resize_size=8, image_size=8, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))


@pytest.mark.parametrize("name", ["small_resnet", "resnet18@32", "mobilenet_v3_small@32"])
def test_built_in_backbones_keep_the_contract(name: str) -> None:
    state = torch.random.get_rng_state()
    check_backbone(find_architecture(name))
    assert torch.random.get_rng_state().equal(state), "the draws of the caller stay as they were"


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("timm:vit_small_patch14_dinov2@28", marks=pytest.mark.slow),
        "timm:vit_tiny_patch16_dinov3_qkvb@32",
        pytest.param("timm:vit_base_patch32_siglip_256@32", marks=pytest.mark.slow),
        "timm:test_vit3?pool=avg@32",
    ],
)
def test_towers_of_timm_without_a_classifier_keep_the_contract(name: str) -> None:
    pytest.importorskip("timm")
    check_backbone(find_architecture(name))


class Means(nn.Module):
    """Linear layers on the mean colours, for images of any size."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(3, 8), nn.Linear(8, 7)

    def forward(self, images: Tensor) -> Tensor:
        features: Tensor = self.last(self.first(images.mean((2, 3))).relu())
        return features


def of(build: Callable[[], nn.Module], **changes: Any) -> Architecture:
    return replace(Architecture("own", 7, PREPROCESSING, build), **changes)


def tied() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(192, 7))


def test_a_network_tied_to_its_size_keeps_the_contract_if_it_says_so() -> None:
    check_backbone(of(tied, takes_any_size=False))
    check_backbone(of(Means))


class Twice(Means):
    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images).double()


class Pair(Means):
    def forward(self, images: Tensor) -> Any:
        features = super().forward(images)
        return (features, features) if self.training else features


class Infinite(Means):
    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images) / 0


class Centred(Means):
    """Subtracts the mean of the batch."""

    def forward(self, images: Tensor) -> Tensor:
        features = super().forward(images)
        return features - features.mean(0)


class Dropping(Means):
    """Drops features in evaluation mode too."""

    def forward(self, images: Tensor) -> Tensor:
        return nn.functional.dropout(super().forward(images))


class Unused(Means):
    def __init__(self) -> None:
        super().__init__()
        self.third = nn.Linear(2, 2)


class Root(Means):
    """The root of 0 has no finite gradient."""

    def forward(self, images: Tensor) -> Tensor:
        return (super().forward(images) * 0).sqrt() + self.last.bias


class Unregistered(Means):
    def __init__(self) -> None:
        super().__init__()
        self.shift = [torch.randn(7)]

    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images) + self.shift[0]


class NamedAsAClassifier(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(3, 7)

    def forward(self, images: Tensor) -> Tensor:
        features: Tensor = self.fc(images.mean((2, 3)))
        return features


WIDTHS = iter(range(8, 100))


def of_another_width() -> nn.Module:
    width = next(WIDTHS)
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, width), nn.Linear(width, 7))


def drawn_elsewhere() -> nn.Module:
    network = Means()
    network.last.bias.data = torch.from_numpy(np.random.default_rng().normal(size=7).astype(np.float32))
    return network


@pytest.mark.parametrize(
    ("architecture", "fault"),
    [
        (
            of(of_another_width),
            r"the same network each time, but 2\.weight is \(8, 3\), then \(9, 3\) \(backbone 'own'\)",
        ),
        (
            of(drawn_elsewhere),
            r"from torch's global generator alone, but the same seed gives other weights of last\.bias",
        ),
        (
            of(Means, feature_dim=8),
            r"features must be \(3, 8\) torch\.float32, but are \(3, 7\) torch\.float32 in evaluat",
        ),
        (of(Twice), r"features must be \(3, 7\) torch\.float32, but are \(3, 7\) torch\.float64 in evaluation mode"),
        (of(Pair), r"features must be \(3, 7\) torch\.float32, but are a tuple in training mode \(backbone 'own'\)"),
        (of(Infinite), "features must be finite, but 21 are not in evaluation mode"),
        (of(Centred), r"must depend on its image alone, but that of the first image differs by up to \d.* without the"),
        (of(Dropping), "the same images must give the same features, but they differ by up to"),
        (of(tied), r"takes_any_size must be False where .* is True, and images of 40 px end in RuntimeError: mat1"),
        (of(Means, takes_any_size=False), "takes_any_size must be True .* is False, and images of 40 px are mapped"),
        (of(Unused), r"every trainable parameter must get a gradient, but that of 'third\.weight' has none"),
        (of(Root), r"every trainable parameter must get a gradient, but that of '.*' is not finite"),
        (of(Unregistered), "with the weights of another must give the same features, .* as parameters or buffers"),
        (
            of(NamedAsAClassifier),
            r"the default split must find .* alone must fit .* missing fc\.weight; missing fc\.bias",
        ),
        (
            of(Means, projector=Projector(4, partial(nn.Linear, 7, 5))),
            r"projector's features must be \(3, 4\) .* \(3, 5\)",
        ),
        (of(Means, projector=Projector(4, partial(nn.Linear, 7, 4))), "missing weight of the projector; .* of its own"),
    ],
)
def test_a_broken_backbone_is_named_with_its_fault(architecture: Architecture, fault: str) -> None:
    with pytest.raises(AssertionError, match=fault):
        check_backbone(architecture)
