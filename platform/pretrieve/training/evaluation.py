"""What a network computes in evaluation mode."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from pretrieve.backbones import Preprocessing
from pretrieve.backbones.evaluation_mode import predicting
from pretrieve.training.augmentation.views import evaluation_view, to_unit_range
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
    parts: list[Tensor] = []
    start, size = 0, EVALUATION_BATCH_SIZE
    with predicting(network):
        while start < len(images):
            rows = torch.arange(start, min(start + size, len(images)))
            try:
                view = evaluation_view(to_unit_range(images.gather(rows), device), preprocessing)
                parts.append(torch.as_tensor(network(view)).float().cpu())
            except torch.OutOfMemoryError:
                if len(rows) == 1:
                    raise
                size = len(rows) // 2
                continue
            start += len(rows)
            on_batch()
    return torch.cat(parts)
