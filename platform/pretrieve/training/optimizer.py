"""SGD with Nesterov momentum, a separate rate for the heads, and the step schedule (section 4.1, appendix A)."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from pretrieve.training.network import TwoHeadNetwork
from pretrieve.training.settings import Hyperparameters, TrainingSettings


def make_optimizer(
    network: TwoHeadNetwork, hyperparameters: Hyperparameters, settings: TrainingSettings
) -> torch.optim.SGD:
    """Build the optimizer: pre-trained parameters at `lr`, new heads at `lr · head_lr_ratio`, weight decay on all."""
    lr, decay = hyperparameters.lr, hyperparameters.weight_decay
    groups = [
        {"params": network.pretrained_parameters(), "lr": lr},
        {"params": network.head_parameters(), "lr": lr * hyperparameters.head_lr_ratio},
    ]
    optimizer = torch.optim.SGD(groups, momentum=settings.momentum, nesterov=True, weight_decay=decay, fused=True)
    for group in optimizer.param_groups:
        group["initial_lr"] = group["lr"]
    return optimizer


def decay_at_epoch(epoch: int, *, epochs: int, decay_at: Sequence[float], decay_factor: float) -> float:
    """Return the factor on the learning rate in one epoch, counted from 0.

    >>> [decay_at_epoch(e, epochs=100, decay_at=(0.6, 0.8), decay_factor=0.1) for e in (59, 60, 79)]
    [1.0, 0.1, 0.1]
    """
    passed = sum(epoch >= round(share * epochs) for share in decay_at)
    return float(decay_factor**passed)


def set_epoch_rates(optimizer: torch.optim.SGD, epoch: int, settings: TrainingSettings) -> None:
    """Set every group's learning rate for one epoch, counted from 0."""
    factor = decay_at_epoch(
        epoch, epochs=settings.epochs, decay_at=settings.decay_at, decay_factor=settings.decay_factor
    )
    for group in optimizer.param_groups:
        group["lr"] = group["initial_lr"] * factor
