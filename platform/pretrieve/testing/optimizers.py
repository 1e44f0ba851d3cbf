"""The contract suite of optimizers."""

from __future__ import annotations

import copy
import io
import math
from typing import Any

import torch
from torch import Tensor

from pretrieve.components.hyperparameters import HEAD_LR_RATIO, LR
from pretrieve.testing.small_network import small_network, values_of
from pretrieve.training.network import TwoHeadNetwork
from pretrieve.training.optimizers import Optimizer
from pretrieve.training.optimizers._base import blocks_of
from pretrieve.training.settings import Hyperparameters, TrainingSettings

LEARNING_RATE = 0.01


def check_optimizer(optimizer: Optimizer) -> None:
    """Check that an optimizer keeps the contract of `Optimizer`, on a small network with a convex loss.

    Every trainable parameter is in exactly one group, whose `initial_lr` is its rate; the rates follow `lr`,
    `head_lr_ratio` and `layer_decay`; a step moves all weights, and a few steps lower the loss; a training that is
    restored from a checkpoint goes on to the same weights, to the bit; the state is as large as
    `num_state_per_weight` says; settings that `reads` does not list change nothing.

    Raises:
      AssertionError: it does not; the message names rule, value and place.

    >>> from pretrieve.training.optimizers.adamw import AdamW
    >>> check_optimizer(AdamW(layer_decay=0.7))
    """
    for is_pretrained in (False, True):
        training = _Training(optimizer, is_pretrained=is_pretrained)
        _check_groups(training)
        _check_rates(training)
        _check_descent(training)
        _check_state_size(training)
        _check_resumed(training)
        _check_reads(training)


class _Training:
    """The small network on its way to weights of 1, the minimum of half their squared distance."""

    def __init__(self, optimizer: Optimizer, *, is_pretrained: bool, **changes: Any) -> None:
        self.member, self.is_pretrained = optimizer, is_pretrained
        kind = "a pre-trained" if is_pretrained else "a fresh"
        self.place = f"in a network with {kind} source head ({type(optimizer).__name__})"
        values = values_of(optimizer.hyperparameters) | {"lr": LEARNING_RATE}
        fields = {name: changes.pop(name) for name in list(changes) if name in TrainingSettings.model_fields}
        self.network: TwoHeadNetwork = small_network(source_head=True, is_pretrained=is_pretrained)
        self.built = copy.deepcopy(optimizer).build(
            self.network, Hyperparameters(**{**values, **changes}), TrainingSettings(**fields)
        )

    def again(self, **changes: Any) -> _Training:
        return _Training(self.member, is_pretrained=self.is_pretrained, **changes)

    def loss(self) -> Tensor:
        return sum((((each - 1) ** 2).sum() / 2 for each in self.network.parameters()), torch.zeros(()))

    def take_steps(self, number: int) -> None:
        for _ in range(number):
            self.built.zero_grad()
            self.loss().backward()
            self.built.step()

    def weights(self) -> dict[str, Tensor]:
        return {name: value.detach().clone() for name, value in self.network.named_parameters()}

    def rates(self) -> dict[str, float]:
        of = {id(each): group["initial_lr"] for group in self.built.param_groups for each in group["params"]}
        return {name: float(of[id(parameter)]) for name, parameter in self.network.named_parameters()}


def _check_groups(training: _Training) -> None:
    held = [id(parameter) for group in training.built.param_groups for parameter in group["params"]]
    for name, parameter in training.network.named_parameters():
        if held.count(id(parameter)) != 1:
            raise AssertionError(
                f"every trainable parameter must be in exactly one group, but {name!r} is in "
                f"{held.count(id(parameter))} {training.place}"
            )
    for number, group in enumerate(training.built.param_groups):
        if group.get("initial_lr") != group["lr"]:
            raise AssertionError(
                f"each group must have its first rate as `initial_lr`, but that of group {number} is "
                f"{group.get('initial_lr')} and its rate {group['lr']} {training.place}"
            )


def _check_rates(training: _Training) -> None:
    rates, names = training.rates(), {each.name for each in training.member.hyperparameters}
    if LR.name in names:
        for name, rate in training.again(lr=2 * LEARNING_RATE).rates().items():
            if not math.isclose(rate, 2 * rates[name]):
                raise AssertionError(
                    f"twice the lr must be twice the rate of each weight, but that of {name!r} goes from "
                    f"{rates[name]:g} to {rate:g} {training.place}"
                )
    decay, blocks = getattr(training.member, "layer_decay", 1.0), blocks_of(training.network.backbone)
    of = {id(parameter): rates[name] for name, parameter in training.network.named_parameters()}
    by_block = [[of[id(parameter)] for parameter in block.parameters()] for block in blocks]
    nearest = by_block[-1][0]
    for distance, found in enumerate(reversed(by_block)):
        if not all(math.isclose(rate, nearest * decay**distance) for rate in found):
            raise AssertionError(
                f"the rate must be multiplied by layer_decay = {decay:g} for each block away from the heads, to "
                f"{nearest * decay**distance:g} {distance} blocks away, but is {found[0]:g} {training.place}"
            )
    for ratio in (2.0, 5.0) if HEAD_LR_RATIO.name in names else ():
        again = training.again(head_lr_ratio=ratio)
        for name, rate in again.rates().items():
            is_source = name.startswith("source_head.")
            expected = nearest if training.is_pretrained and is_source else ratio * nearest
            if "head." in name and not math.isclose(rate, expected):
                raise AssertionError(
                    f"a fresh head must learn at head_lr_ratio = {ratio:g} times the backbone's rate, and a "
                    f"pre-trained one at the backbone's, {nearest:g}, but {name!r} learns at {rate:g} {training.place}"
                )


def _check_descent(training: _Training) -> None:
    moving = training.again()
    before, first_loss = moving.weights(), float(moving.loss().detach())
    moving.take_steps(1)
    for name, weights in moving.weights().items():
        if (still := int((weights == before[name]).sum())) > 0:
            raise AssertionError(
                f"a step must move every weight with a gradient, but {still} of {name!r} stay {training.place}"
            )
    moving.take_steps(2)
    if not float(moving.loss().detach()) < first_loss:
        raise AssertionError(
            f"3 steps must lower a convex loss, but it goes from {first_loss:g} to "
            f"{float(moving.loss().detach()):g} {training.place}"
        )


def _check_state_size(training: _Training) -> None:
    stepped = training.again()
    stepped.take_steps(1)
    num_weights = sum(each.numel() for each in stepped.network.parameters())
    kept = [value for state in stepped.built.state.values() for value in state.values() if isinstance(value, Tensor)]
    num_kept = sum(value.numel() for value in kept if value.ndim > 0)  # numbers of a whole tensor do not count
    if math.ceil(num_kept / num_weights) != training.member.num_state_per_weight:
        raise AssertionError(
            f"num_state_per_weight must be the numbers kept of each weight, but it is "
            f"{training.member.num_state_per_weight} and {num_kept} are kept of {num_weights} weights {training.place}"
        )


def _check_resumed(training: _Training) -> None:
    whole, stopped, resumed = training.again(), training.again(), training.again()
    whole.take_steps(4)
    stopped.take_steps(2)
    file = io.BytesIO()
    torch.save({"network": stopped.network.state_dict(), "optimizer": stopped.built.state_dict()}, file)
    state = torch.load(io.BytesIO(file.getvalue()), weights_only=True)
    resumed.network.load_state_dict(state["network"])
    resumed.built.load_state_dict(state["optimizer"])
    resumed.take_steps(2)
    for name, weights in resumed.weights().items():
        if not weights.equal(whole.weights()[name]):
            raise AssertionError(
                f"a training restored from its checkpoint must go on to the same weights, to the bit, but {name!r} "
                f"differs by up to {float((weights - whole.weights()[name]).abs().max()):g} {training.place}"
            )


def _check_reads(training: _Training) -> None:
    plain = training.again()
    plain.take_steps(3)
    for field, value in {"momentum": 0.3, "decay_at": (0.2,), "decay_factor": 0.7}.items():
        if field not in training.member.reads:
            other = training.again(**{field: value})
            other.take_steps(3)
            if any(not weights.equal(plain.weights()[name]) for name, weights in other.weights().items()):
                raise AssertionError(
                    f"an optimizer must list the settings that it reads, but training.{field} changes its steps and "
                    f"`reads` is {training.member.reads} {training.place}"
                )
