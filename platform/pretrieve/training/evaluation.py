"""What a network computes in evaluation mode: its outputs, and features."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from pretrieve.backbones import Preprocessing
from pretrieve.training.augmentation.views import central_view, evaluation_view, to_unit_range, weak_view
from pretrieve.training.network import TwoHeadNetwork

if TYPE_CHECKING:
    from pretrieve.training.fine_tuning import LabelledImages

EVALUATION_BATCH_SIZE = 256


@torch.inference_mode()
def predict_logits(
    network: TwoHeadNetwork,
    images: LabelledImages,
    preprocessing: Preprocessing,
    device: torch.device,
    on_batch: Callable[[], None] = lambda: None,
) -> Tensor:
    """Return the outputs of the target head for every image in evaluation mode, as (N, K) float32 on the CPU.

    `on_batch` is called after each batch. A batch that does not fit into the device's memory is tried again at half the
    size. This changes outputs by rounding at most, because in evaluation mode each image is processed on its own.
    Raises torch.OutOfMemoryError if not even one image fits.
    """

    def logits(rows: Tensor) -> Tensor:
        batch = evaluation_view(to_unit_range(images.gather(rows), device), preprocessing)
        return torch.as_tensor(network(batch)).float()

    return _in_batches(network, logits, len(images), on_batch)


@torch.no_grad()  # not `inference_mode`, whose tensors nothing can be learned from
def training_features(
    backbone: nn.Module,
    images: LabelledImages,
    preprocessing: Preprocessing,
    device: torch.device,
    on_batch: Callable[[], None] = lambda: None,
) -> Tensor:
    """Compute the features of training images in evaluation mode, viewed as in prediction: (N, D) float32 on the CPU.

    Unlike those of `predict_logits`, the images may be whole pictures squeezed into squares. For the rest see there.
    """

    def features(rows: Tensor) -> Tensor:
        stored = images.gather(rows).to(device)
        centre = central_view(side=stored.shape[1], preprocessing=preprocessing, aspect=images.aspects[rows])
        return torch.as_tensor(backbone(weak_view(stored, centre, preprocessing=preprocessing))).float()

    return _in_batches(backbone, features, len(images), on_batch)


def _in_batches(
    network: nn.Module, compute: Callable[[Tensor], Tensor], num_images: int, on_batch: Callable[[], None]
) -> Tensor:
    """Compute something of the images' rows, batch by batch with the network in evaluation mode, and join it."""
    was_training = network.training
    network.eval()
    parts: list[Tensor] = []
    start, size = 0, EVALUATION_BATCH_SIZE
    while start < num_images:
        rows = torch.arange(start, min(start + size, num_images))
        try:
            parts.append(compute(rows).cpu())
        except torch.OutOfMemoryError:
            if len(rows) == 1:
                raise
            size = len(rows) // 2
            continue
        start += len(rows)
        on_batch()
    network.train(was_training)
    return torch.cat(parts)
