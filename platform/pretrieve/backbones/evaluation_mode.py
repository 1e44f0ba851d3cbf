"""A network in evaluation mode for a while."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def predicting(network: nn.Module) -> Iterator[None]:
    """Set a network to evaluation mode within the block, and each of its modules to its own mode afterwards."""
    # Not `network.train()`: some parts may have been in evaluation mode before, such as a frozen batch norm.
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training
