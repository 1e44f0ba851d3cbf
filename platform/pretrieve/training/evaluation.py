"""The outputs of a network for images it was not trained on."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from pretrieve.backbones import Preprocessing
from pretrieve.training.augmentation.views import evaluation_view, to_unit_range
from pretrieve.training.fine_tuning import LabelledImages
from pretrieve.training.network import TwoHeadNetwork

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
    was_training = network.training
    network.eval()
    logits: list[Tensor] = []
    start, size = 0, EVALUATION_BATCH_SIZE
    while start < len(images):
        indices = torch.arange(start, min(start + size, len(images)))
        try:
            batch = evaluation_view(to_unit_range(images.gather(indices), device), preprocessing)
            logits.append(network(batch).float().cpu())
        except torch.OutOfMemoryError:
            if len(indices) == 1:
                raise
            size = len(indices) // 2
            continue
        start += len(indices)
        on_batch()
    network.train(was_training)
    return torch.cat(logits)
