"""The contract of an optimizer: which rate each weight learns at, and how a gradient changes it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import torch
from torch import nn

from pretrieve.components.hyperparameters import HEAD_LR_RATIO, LR, WEIGHT_DECAY, Hyperparameter
from pretrieve.training.network import TwoHeadNetwork
from pretrieve.training.settings import Hyperparameters, TrainingSettings

VELOCITY = "momentum_buffer"
"""torch's name, in the state of its SGD, of what is kept of each weight between two steps."""


class Optimizer(ABC):
    """How gradients change the weights.

    The arguments of a member's constructor are its own settings, `training.optimizer_settings` of a study; a member
    keeps no state between two calls of `build`. What it changes in a training is in the torch optimizer that it builds,
    whose `state_dict` a checkpoint holds; restored, it goes on as if it had not stopped, to the bit on a CPU.

    Args:
      layer_decay: the rate of a block of the backbone, divided by that of the next block towards the heads; in (0, 1].
        1 gives the whole backbone one rate.

    Attributes:
      name: its name in studies.
      hyperparameters: those that it reads.
      reads: the fields of TrainingSettings that it reads, beside `optimizer_settings`. Others of the fields that
        only optimizers and schedules read are no part of a trial's key.
      num_state_per_weight: numbers that it keeps of each weight between two steps. They are in every checkpoint, so a
        forecast of disk space counts them.

    Raises:
      ValueError: a setting is out of its range.
    """

    name: ClassVar[str]
    hyperparameters: ClassVar[tuple[Hyperparameter, ...]] = (LR, WEIGHT_DECAY, HEAD_LR_RATIO)
    reads: ClassVar[tuple[str, ...]] = ()
    num_state_per_weight: int

    def __init__(self, layer_decay: float = 1.0) -> None:
        self.layer_decay = float(layer_decay)
        if not 0 < self.layer_decay <= 1:
            raise ValueError(f"layer_decay must be > 0 and <= 1, but is {layer_decay}; 1 gives all blocks one rate")

    @abstractmethod
    def build(
        self, network: TwoHeadNetwork, hyperparameters: Hyperparameters, training: TrainingSettings
    ) -> torch.optim.Optimizer:
        """Build the torch optimizer of one training.

        Every trainable parameter of the network is in exactly one of its groups, such as `groups` gives them. Each
        group has its first rate as `initial_lr` too, which the schedule multiplies by its factor before every step.
        """

    def groups(self, network: TwoHeadNetwork, hyperparameters: Hyperparameters) -> list[dict[str, Any]]:
        """Return the groups of parameters with their rates: the backbone at `lr`, new heads at `lr · head_lr_ratio`.

        A pre-trained source head learns with the backbone. With a `layer_decay` below 1 each block of the backbone is a
        group of its own: the last one, and a pre-trained source head, learn at `lr`, the one before at
        `lr · layer_decay`, and so on. Parameters that do not learn (`requires_grad` is False) are in no group.
        """
        lr, head_lr_ratio = hyperparameters.read(LR), hyperparameters.read(HEAD_LR_RATIO)
        blocks = _by_block(network) if self.layer_decay < 1 else [network.pretrained_parameters()]
        rates = [lr * self.layer_decay**distance for distance in reversed(range(len(blocks)))]
        groups = [*zip(blocks, rates, strict=True), (network.head_parameters(), lr * head_lr_ratio)]
        return [{"params": parameters, "lr": rate, "initial_lr": rate} for parameters, rate in groups if parameters]

    def may_fuse(self, network: TwoHeadNetwork) -> bool:
        """Return whether torch's fused steps, the fastest, can take all weights: they refuse complex ones."""
        return all(parameter.is_floating_point() for parameter in network.parameters() if parameter.requires_grad)


def take_any_gradient(optimizer: torch.optim.Optimizer) -> None:
    """Let an optimizer with fused steps take sparse gradients, and ones that come later than those of other weights.

    Sparse ones become dense, which is the same step. SGD's fused step wants the velocity of all weights or of none: one
    whose first gradient comes late starts with a velocity of 0, which is the same step too. A block that some steps
    leave out has such weights.
    """

    def prepare(*_: object) -> None:
        for group in optimizer.param_groups:
            learning = [parameter for parameter in group["params"] if parameter.grad is not None]
            for parameter in learning:
                if parameter.grad.layout != torch.strided:
                    parameter.grad = parameter.grad.to_dense()
            if group.get("momentum") and any(VELOCITY in optimizer.state[parameter] for parameter in learning):
                for parameter in learning:
                    if optimizer.state[parameter].get(VELOCITY) is None:
                        optimizer.state[parameter][VELOCITY] = torch.zeros_like(parameter)

    optimizer.register_step_pre_hook(prepare)


def blocks_of(trunk: nn.Module) -> list[nn.Module]:
    """List the blocks of a backbone that have weights, from its input to its feature.

    The blocks are its children, with the children of an `nn.Sequential` or `nn.ModuleList` in place of it. A trunk that
    only wraps another network has the blocks of that. Their order is that in which the trunk's constructor made them.

    >>> trunk = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 4)))
    >>> [block.out_features for block in blocks_of(trunk)]
    [2, 3, 4]
    """
    found = _blocks_within(trunk)
    is_wrapper = len(found) == 1 and any(True for _ in found[0].children())
    return blocks_of(found[0]) if is_wrapper else found or [trunk]


def _blocks_within(stage: nn.Module) -> list[nn.Module]:
    found: list[nn.Module] = []
    for child in stage.children():
        # Not `isinstance`: a subclass of Sequential, such as torchvision's convolution with its norm, is a block.
        is_stage = type(child) in (nn.Sequential, nn.ModuleList)
        if any(True for _ in child.parameters()):
            found += _blocks_within(child) if is_stage else [child]
    return found


def _by_block(network: TwoHeadNetwork) -> list[list[nn.Parameter]]:
    """Sort what learns at the backbone's rate by block, from the input to the heads."""
    blocks = blocks_of(network.backbone)
    place: dict[int, int] = {}
    for number, block in enumerate(blocks):
        for parameter in block.parameters():
            place.setdefault(id(parameter), number)  # weights that blocks share belong to the first of them
    for parameter in network.backbone.parameters():
        place.setdefault(id(parameter), 0)  # outside the blocks: a class token or the embedding of positions
    sorted_in: list[list[nn.Parameter]] = [[] for _ in blocks]
    for parameter in network.pretrained_parameters():
        sorted_in[place.get(id(parameter), -1)].append(parameter)  # without a place: a pre-trained source head
    return [parameters for parameters in sorted_in if parameters]
