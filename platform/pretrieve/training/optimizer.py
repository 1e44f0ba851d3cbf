"""SGD with Nesterov momentum, a separate rate for the heads, and the step schedule (section 4.1, appendix A)."""

from __future__ import annotations

import torch

from pretrieve.components.hyperparameters import HEAD_LR_RATIO, LR, WEIGHT_DECAY
from pretrieve.training.network import TwoHeadNetwork
from pretrieve.training.settings import Hyperparameters, TrainingSettings


def make_optimizer(
    network: TwoHeadNetwork, hyperparameters: Hyperparameters, settings: TrainingSettings
) -> torch.optim.SGD:
    """Build the optimizer: pre-trained parameters at `lr`, new heads at `lr · head_lr_ratio`, weight decay on all."""
    lr, decay = hyperparameters.read(LR), hyperparameters.read(WEIGHT_DECAY)
    groups = [
        {"params": network.pretrained_parameters(), "lr": lr},
        {"params": network.head_parameters(), "lr": lr * hyperparameters.read(HEAD_LR_RATIO)},
    ]
    optimizer = torch.optim.SGD(groups, momentum=settings.momentum, nesterov=True, weight_decay=decay, fused=True)
    for group in optimizer.param_groups:
        group["initial_lr"] = group["lr"]
    return optimizer


def decay_at_epoch(epoch: int, settings: TrainingSettings) -> float:
    """Return the factor on the learning rate in one epoch, counted from 0.

    >>> [decay_at_epoch(epoch, TrainingSettings(epochs=100)) for epoch in (59, 60, 79)]
    [1.0, 0.1, 0.1]
    """
    passed = sum(epoch >= round(share * settings.epochs) for share in settings.decay_at)
    return float(settings.decay_factor**passed)


def set_epoch_rates(optimizer: torch.optim.SGD, epoch: int, settings: TrainingSettings) -> None:
    """Set every group's learning rate for one epoch, counted from 0."""
    for group in optimizer.param_groups:
        group["lr"] = group["initial_lr"] * decay_at_epoch(epoch, settings)
