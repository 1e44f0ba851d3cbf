"""Batch norm of a training on two streams: by whose statistics an image is normalised (`training.batch_norm`).

`both_streams` is the paper's: the backbone stays as it is, and a pass over [target ; source] normalises all its images
by their common statistics. `frozen` keeps every batch norm in evaluation mode. With `target_only` the source's images
pass by themselves, with statistics of their own, as in domain-specific batch norm (Chang et al. 2019) and AdvProp (Xie
et al. 2020): all weights are shared, and prediction uses what the target alone has seen.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.modules.batchnorm import _BatchNorm

from pretrieve.errors import UserError
from pretrieve.training.learning_layers import fixed_blocks
from pretrieve.training.network import TwoHeadNetwork
from pretrieve.training.objectives import Batch
from pretrieve.training.settings import TrainingSettings


def set_training_mode(network: TwoHeadNetwork, settings: TrainingSettings) -> None:
    """Set a network to training mode, but fixed blocks, frozen batch norm and what arrived fixed to evaluation mode."""
    network.set_learning_mode()
    for block in fixed_blocks(network.backbone, settings.learns):
        block.eval()
    if settings.batch_norm == "frozen":
        for module in network.backbone.modules():
            if isinstance(module, _BatchNorm):
                module.eval()


def copied_statistics(backbone: nn.Module) -> dict[str, Tensor]:
    """Copy the statistics of every batch norm that is in training mode, under the names of the backbone's buffers."""
    return {
        name: buffer.clone()
        for place, module in backbone.named_modules()
        if isinstance(module, _BatchNorm) and module.training
        for name, buffer in module.named_buffers(prefix=place, recurse=False)
    }


@contextmanager
def streams_apart(network: TwoHeadNetwork, num_target: int, source: Batch | None = None) -> Iterator[None]:
    """Within the block, let the backbone normalise the source's images by `network.source_statistics`, if it has any.

    Each pass of the backbone becomes two, whose features are joined: the target's images pass as in a network without a
    source; the source's with the second set of statistics, which in training mode are updated in place. The first
    `num_target` rows of a pass are the target's and all others the source's, unless its images are `is_part_of` the
    source's batch: then all are.

    Raises:
      UserError: a pass within the block has fewer than `num_target` rows.
    """
    if not network.source_statistics:
        yield
        return
    plain = network.backbone
    network.backbone = _StreamsApart(plain, network.source_statistics, num_target, source)
    try:
        yield
    finally:
        network.backbone = plain


def is_part_of(images: Tensor, batch: Batch | None) -> bool:
    """Return whether images are one of a batch's tensors, or a slice of it that shares its memory.

    >>> views, labels = torch.zeros(4, 3, 2, 2), torch.zeros(4, dtype=torch.int64)
    >>> is_part_of(views[2:], Batch(views, labels)), is_part_of(views + 1, Batch(views, labels))
    (True, False)
    """
    tensors = () if batch is None else (batch.images, batch.strong_images)
    return any(
        each is not None and each.data_ptr() <= images.data_ptr() < each.data_ptr() + each.nbytes for each in tensors
    )


class _StreamsApart(nn.Module):
    """A backbone that passes the target's images, and then the source's with other statistics."""

    def __init__(
        self, backbone: nn.Module, source_statistics: dict[str, Tensor], num_target: int, source: Batch | None
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self._source_statistics, self._num_target, self._source = source_statistics, num_target, source

    def forward(self, images: Tensor) -> Tensor:
        num_target = 0 if is_part_of(images, self._source) else self._num_target
        if len(images) < num_target:
            raise UserError(
                f"with training.batch_norm 'target_only' a pass of the backbone must begin with all of the target's "
                f"{num_target} images, or hold only the source's batch, but an objective passes "
                f"{len(images)} other images; pass torch.cat([target.images, source.images]), or set batch_norm to "
                "'both_streams'"
            )
        features: list[Tensor] = [self.backbone(images[:num_target])] if num_target else []
        if num_target < len(images):
            of_source = (images[num_target:],)
            features.append(functional_call(self.backbone, self._source_statistics, of_source, tie_weights=False))
        return torch.cat(features)
