"""Optimizers take the gradients that torch's plain ones take: late, sparse and complex ones."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from pretrieve.components import OPTIMIZERS
from pretrieve.training.network import TwoHeadNetwork
from pretrieve.training.settings import Hyperparameters, TrainingSettings

NUM_STEPS = 5
HYPERPARAMETERS = Hyperparameters(lr=0.05, weight_decay=0.01, head_lr_ratio=1.0)

PLAIN: Mapping[str, Callable[[Any], torch.optim.Optimizer]] = {
    "sgd": lambda weights: torch.optim.SGD(weights, lr=0.05, momentum=0.9, nesterov=True, weight_decay=0.01),
    "adamw": lambda weights: torch.optim.AdamW(weights, lr=0.05, weight_decay=0.01),
}


class LateBlocks(nn.Module):
    """Its second block learns from the second step on, its third in the third step alone."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks, self.step = nn.ModuleList(nn.Linear(6, 6) for _ in range(3)), 0

    def forward(self, images: Tensor) -> Tensor:
        features: Tensor = self.blocks[0](images.flatten(1))
        for number, steps in ((1, range(1, NUM_STEPS)), (2, range(2, 3))):
            if self.step in steps:
                features = features + self.blocks[number](features)
        self.step += 1
        return features


class ComplexFilter(nn.Module):
    """Multiplies the images by a complex filter in frequency, as networks of global filters do."""

    def __init__(self) -> None:
        super().__init__()
        self.filter = nn.Parameter(torch.randn(6, dtype=torch.complex64))

    def forward(self, images: Tensor) -> Tensor:
        return torch.view_as_real(torch.fft.fft(images.flatten(1)) * self.filter).sum(-1)


class DenseTable(nn.Module):
    """Adds the rows of a table to the images, some in each step."""

    is_sparse = False

    def __init__(self) -> None:
        super().__init__()
        self.table, self.step = nn.Embedding(8, 6, sparse=self.is_sparse), 0

    def forward(self, images: Tensor) -> Tensor:
        self.step += 1
        rows = torch.arange(len(images)) % 3 + self.step
        added: Tensor = images.flatten(1) + self.table(rows)
        return added


class SparseTable(DenseTable):
    """Its table has sparse gradients, which are the same steps."""

    is_sparse = True


def trained(
    backbone: nn.Module, build: Callable[[TwoHeadNetwork], torch.optim.Optimizer]
) -> tuple[TwoHeadNetwork, torch.optim.Optimizer]:
    network = TwoHeadNetwork(
        backbone,
        feature_dim=6,
        num_target_classes=3,
        num_source_classes=0,
        generator=torch.Generator().manual_seed(0),
    )
    optimizer = build(network)
    generator = torch.Generator().manual_seed(1)
    for _ in range(NUM_STEPS):
        images = torch.randn(4, 3, 1, 2, generator=generator)
        optimizer.zero_grad()
        nn.functional.cross_entropy(network(images), torch.arange(4) % 3).backward()
        optimizer.step()
    return network, optimizer


def of_study(name: str) -> Callable[[TwoHeadNetwork], torch.optim.Optimizer]:
    return lambda network: OPTIMIZERS.build(name, {}).build(network, HYPERPARAMETERS, TrainingSettings())


@pytest.mark.parametrize("name", PLAIN)
@pytest.mark.parametrize(
    ("ours", "plain"), [(LateBlocks, LateBlocks), (ComplexFilter, ComplexFilter), (SparseTable, DenseTable)]
)
def test_steps_are_those_of_plain_torch(name: str, ours: type[nn.Module], plain: type[nn.Module]) -> None:
    torch.manual_seed(0)
    backbone, twin = ours(), plain()
    twin.load_state_dict(backbone.state_dict())
    network, _ = trained(backbone, of_study(name))
    expected, _ = trained(twin, lambda network: PLAIN[name](network.parameters()))
    for (place, weights), others in zip(network.named_parameters(), expected.parameters(), strict=True):
        torch.testing.assert_close(weights, others, rtol=1e-5, atol=1e-6, msg=place)


@pytest.mark.parametrize("make", [LateBlocks, ComplexFilter, SparseTable])
def test_l2_sp_takes_them_too(make: type[nn.Module]) -> None:
    torch.manual_seed(0)
    backbone = make()
    before = copy.deepcopy(backbone.state_dict())
    network, _ = trained(backbone, of_study("l2_sp"))
    changed = [name for name, each in network.backbone.state_dict().items() if not each.equal(before[name])]
    assert changed == list(before)


def test_only_complex_weights_cost_the_fused_step() -> None:
    torch.manual_seed(0)
    for name in PLAIN:
        assert trained(LateBlocks(), of_study(name))[1].param_groups[0]["fused"]
        assert not trained(ComplexFilter(), of_study(name))[1].param_groups[0]["fused"]
