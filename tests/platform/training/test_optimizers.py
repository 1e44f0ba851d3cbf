"""Optimizers against plain torch, the rates of the blocks, and one of a user's own."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from pretrieve.components import OPTIMIZERS
from pretrieve.errors import ComponentError
from pretrieve.training.fine_tuning import FineTuning
from pretrieve.training.loop import fine_tune
from pretrieve.training.network import TwoHeadNetwork
from pretrieve.training.optimizers._base import blocks_of
from pretrieve.training.settings import Hyperparameters, TrainingSettings
from pretrieve.training.step_inputs import EpochInputs

MakeWork = Callable[..., FineTuning]
POINT = Hyperparameters(lr=0.1, weight_decay=0.5, head_lr_ratio=3.0)

OWN = '''
import torch

from pretrieve.training.optimizers import Optimizer


class SignDescent(torch.optim.Optimizer):
    def step(self, closure=None):
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    parameter.data.sub_(parameter.grad.sign(), alpha=group["lr"])


class Signs(Optimizer):
    """Follow the sign of the gradient."""

    name = "signs"
    num_state_per_weight = 0

    def build(self, network, hyperparameters, training):
        return SignDescent(self.groups(network, hyperparameters), {})
'''


def plain_weights(work: FineTuning, make: Callable[..., Any], set_rates: Callable[..., None]) -> dict[str, Any]:
    """Train in a few lines of torch, on the same batches."""
    work.network.to(memory_format=torch.channels_last).train()
    backbone, head = work.network.backbone, work.network.target_head
    optimizer = make([{"params": backbone.parameters(), "lr": 0.05}, {"params": head.parameters(), "lr": 0.1}])
    for epoch in range(work.settings.epochs):
        for [(batch, _)] in EpochInputs(work, epoch):
            set_rates(optimizer, epoch)
            optimizer.zero_grad()
            F.cross_entropy(head(backbone(batch.images)), batch.labels).backward()
            optimizer.step()
    return work.network.state_dict()


def test_sgd_with_steps_is_plain_torch_to_the_bit(make_work: MakeWork) -> None:
    def make(groups: Any) -> torch.optim.Optimizer:
        return torch.optim.SGD(groups, momentum=0.9, nesterov=True, weight_decay=1e-4, fused=True)

    def set_rates(optimizer: torch.optim.Optimizer, epoch: int) -> None:
        for group, first in zip(optimizer.param_groups, (0.05, 0.1), strict=True):
            group["lr"] = first * (1.0, 1.0, 1.0, 0.1, 0.1**2)[epoch]

    work, plain = (make_work(objective="finetune", epochs=5) for _ in range(2))
    fine_tune(work)
    expected = plain_weights(plain, make, set_rates)
    assert [name for name, value in work.network.state_dict().items() if not value.equal(expected[name])] == []


def test_adamw_with_a_cosine_is_plain_torch(make_work: MakeWork) -> None:
    schedules: list[Any] = []

    def make(groups: Any) -> torch.optim.Optimizer:
        optimizer = torch.optim.AdamW(groups, weight_decay=1e-4, betas=(0.8, 0.99), eps=1e-6, fused=True)
        rising = torch.optim.lr_scheduler.LinearLR(optimizer, start_factor=1 / 4, total_iters=3)
        falling = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=9)
        schedules.append(torch.optim.lr_scheduler.SequentialLR(optimizer, [rising, falling], milestones=[3]))
        return optimizer

    def set_rates(optimizer: torch.optim.Optimizer, epoch: int) -> None:
        if optimizer.state:
            schedules[0].step()

    settings = {
        "optimizer": "adamw",
        "optimizer_settings": {"betas": [0.8, 0.99], "eps": "1e-6"},  # YAML reads a number without a point as a word
        "schedule": "cosine_decay",
        "schedule_settings": {"warmup": 0.25},
    }
    work, plain = make_work(objective="finetune", epochs=4, **settings), make_work(objective="finetune", epochs=4)
    fine_tune(work)
    expected = plain_weights(plain, make, set_rates)
    for name, value in work.network.state_dict().items():
        torch.testing.assert_close(value, expected[name], atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("word", OPTIMIZERS.built_in())
def test_without_layer_decay_there_are_two_groups(make_work: MakeWork, word: str) -> None:
    network = make_work().network
    groups = OPTIMIZERS.build(word, {}).build(network, POINT, TrainingSettings()).param_groups
    assert [group["initial_lr"] for group in groups] == [0.1, 0.1 * 3.0]
    assert [group["weight_decay"] for group in groups] == [0.5, 0.5]
    ours = [id(parameter) for group in groups for parameter in group["params"]]
    assert ours == [id(parameter) for parameter in network.parameters()]


@pytest.mark.parametrize("word", OPTIMIZERS.built_in())
def test_layer_decay_lowers_the_rate_of_each_block_towards_the_input(make_work: MakeWork, word: str) -> None:
    network = make_work().network
    groups = OPTIMIZERS.build(word, {"layer_decay": 0.5}).build(network, POINT, TrainingSettings()).param_groups
    of_parameter = {id(parameter): group["initial_lr"] for group in groups for parameter in group["params"]}
    rates = {name: of_parameter[id(parameter)] for name, parameter in network.named_parameters()}
    # The stem's convolution and its norm are a block each, then come three residual blocks.
    expected = {"stem.0": 1 / 160, "stem.1": 1 / 80, "stages.0": 1 / 40, "stages.1": 1 / 20, "stages.2": 1 / 10}
    for name, rate in rates.items():
        of_block = [value for block, value in expected.items() if name.startswith(f"backbone.{block}.")]
        assert [rate] == pytest.approx(of_block or [0.1 * 3.0]), name
    assert sum(len(group["params"]) for group in groups) == len(rates)


class Transformer(nn.Module):
    """A trunk in the form of a vision transformer, behind a wrapper, with weights that two blocks share."""

    def __init__(self) -> None:
        super().__init__()
        self.class_token = nn.Parameter(torch.zeros(1))
        self.patches = nn.Linear(2, 2)
        self.blocks = nn.ModuleList(nn.Linear(2, 2) for _ in range(3))
        self.blocks[2].weight = self.blocks[1].weight
        self.norm = nn.LayerNorm(2)


class Wrapper(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.network = Transformer()


def test_a_pretrained_source_head_and_weights_outside_all_blocks_have_their_place() -> None:
    trunk = Wrapper()
    network = TwoHeadNetwork(
        trunk,
        feature_dim=2,
        num_target_classes=2,
        num_source_classes=3,
        generator=torch.Generator(),
        source_classifier=nn.Linear(2, 3),
    )
    assert blocks_of(trunk) == [trunk.network.patches, *trunk.network.blocks, trunk.network.norm]
    groups = OPTIMIZERS.build("sgd", {"layer_decay": 0.5}).groups(network, POINT)
    of_parameter = {id(parameter): group["lr"] for group in groups for parameter in group["params"]}
    rates = {name: of_parameter[id(parameter)] for name, parameter in network.named_parameters()}
    assert sum(len(group["params"]) for group in groups) == len(rates)
    assert rates["backbone.network.class_token"] == rates["backbone.network.patches.weight"] == 0.1 * 0.5**4
    assert rates["backbone.network.blocks.1.weight"] == 0.1 * 0.5**2
    assert rates["backbone.network.blocks.2.bias"] == 0.1 * 0.5
    assert rates["backbone.network.norm.weight"] == rates["source_head.weight"] == 0.1
    assert rates["target_head.weight"] == 0.1 * 3.0


@pytest.mark.parametrize(
    ("settings", "fault"),
    [
        ({"layer_decay": 0}, "layer_decay must be > 0 and <= 1, but is 0; 1 gives all blocks one rate"),
        ({"layer_decay": "nan"}, "layer_decay must be > 0 and <= 1, but is nan"),
        ({"betas": 0.9}, r"betas must be two numbers >= 0 and < 1, but are 0\.9"),
        ({"betas": [0.9, 1.0]}, r"betas must be two numbers .* but are \[0\.9, 1\.0\]"),
        ({"eps": 0}, "eps must be > 0, but is 0; the usual one"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, Any], fault: str) -> None:
    with pytest.raises(ComponentError, match=fault):
        OPTIMIZERS.build("adamw", settings)


def test_a_users_optimizer_trains(make_work: MakeWork, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_optimizers.py").write_text(OWN, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    work, before = (
        make_work(epochs=1, lr=0.01, decay_at=(), optimizer="own_optimizers:Signs"),
        make_work().network.state_dict(),
    )
    fine_tune(work)
    moved = (work.network.target_head.weight.detach() - before["target_head.weight"]).abs() / 0.02
    assert float((moved - moved.round()).abs().max()) < 1e-3, "by whole numbers of the head's rate"
    assert float(moved.max()) == pytest.approx(work.length.num_steps, abs=1e-3)
    sys.modules.pop("own_optimizers")
