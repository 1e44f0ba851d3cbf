"""Predictions and accuracy of a network on images it was not trained on."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from pretrieve.backbones import Preprocessing
from pretrieve.metrics import Metric
from pretrieve.training.augmentation.views import evaluation_view, to_unit_range
from pretrieve.training.fine_tuning import LabelledImages
from pretrieve.training.network import TwoHeadNetwork

EVALUATION_BATCH_SIZE = 256


@torch.inference_mode()
def predict(
    network: TwoHeadNetwork,
    images: LabelledImages,
    preprocessing: Preprocessing,
    device: torch.device,
    on_batch: Callable[[], None] = lambda: None,
) -> Tensor:
    """Predict the class of every image in evaluation mode, as (N,) int64 labels on the CPU.

    `on_batch` is called after each batch. A batch that does not fit into the device's memory is tried again at half the
    size. This changes no prediction, because in evaluation mode each image is processed on its own. Raises
    torch.OutOfMemoryError if not even one image fits.
    """
    was_training = network.training
    network.eval()
    predictions: list[Tensor] = []
    start, size = 0, EVALUATION_BATCH_SIZE
    while start < len(images):
        indices = torch.arange(start, min(start + size, len(images)))
        try:
            batch = evaluation_view(to_unit_range(images.gather(indices), device), preprocessing)
            predictions.append(network(batch).argmax(1).cpu())
        except torch.OutOfMemoryError:
            if len(indices) == 1:
                raise
            size = len(indices) // 2
            continue
        start += len(indices)
        on_batch()
    network.train(was_training)
    return torch.cat(predictions)


def accuracy(predictions: Tensor, labels: Tensor, metric: Metric) -> float:
    """Return the accuracy, in [0, 1], of (N,) int64 predictions against (N,) int64 labels.

    `top1` is the share of correct predictions; `mean_per_class` is the mean over classes of that share. Raises
    ValueError if there is no image.

    >>> labels, right = torch.tensor([0, 0, 0, 1]), torch.tensor([0, 0, 0, 0])
    >>> accuracy(right, labels, "top1"), accuracy(right, labels, "mean_per_class")
    (0.75, 0.5)
    """
    if not len(labels):
        raise ValueError("an accuracy must be of at least 1 image, but there is none; give the split images")
    correct = (predictions == labels).double()
    if metric == "top1":
        return float(correct.mean())
    shares = [correct[labels == label].mean() for label in labels.unique()]
    return float(torch.stack(shares).mean())
