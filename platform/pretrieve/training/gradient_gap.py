"""An estimate of the gradient gap δ² of Theorem 1: how well the source's gradient replaces the target's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pretrieve.artifacts.keys import derived_seed
from pretrieve.backbones.evaluation_mode import predicting
from pretrieve.errors import UserError
from pretrieve.training.augmentation.views import central_view, draw_strong_view, strong_view, weak_view
from pretrieve.training.batch_norm import streams_apart
from pretrieve.training.fine_tuning import FineTuning, LabelledImages
from pretrieve.training.network import TwoHeadNetwork
from pretrieve.training.objectives import Batch, Objective

NUM_BATCHES = 4
"""Batches per side. More would give a steadier estimate and a slower trial."""


@dataclass(frozen=True)
class GradientGap:
    """The gap between target and source gradients at one θ, which is all parameters of the backbone.

    Squared norms are in (nats per unit of parameter)².

    Attributes:
      delta_squared: δ² at this θ: mean over source batches of ‖∇F − ∇h‖².
      target_norm_squared: ‖∇F‖².
      source_norm_squared: mean over source batches of ‖∇h‖².
      cosine: mean over source batches of the cosine between ∇F and ∇h, in [−1, 1]; 0 if a gradient is zero.
    """

    delta_squared: float
    target_norm_squared: float
    source_norm_squared: float
    cosine: float


def estimate_gradient_gap(
    network: TwoHeadNetwork,
    objective: Objective,
    target_batches: Sequence[Batch],
    source_batches: Sequence[Batch],
    *,
    num_parts: int = 1,
) -> GradientGap:
    """Estimate δ² = E‖∇F(θ) − ∇h(θ; ξ)‖² at the network's present weights (Theorem 1).

    ∇F is the gradient of the mean cross-entropy over all images of `target_batches`. Use held-out images: on training
    images the gradient of F vanishes as they are learned. ∇h is the gradient of the objective's loss on one source
    batch alone, without λ: the source head's cross-entropy (eq. 6) or the pseudo-label's (eq. 7). Only the backbone's
    parameters that learn count, because the paper's θ is what both losses share, and the heads differ.

    Theorem 1 takes the maximum over the steps t, and this is the value at one step: log it once per epoch and take the
    maximum afterwards. The mean over source batches includes the spread of ∇h among batches, which falls with their
    size, and an error of ∇F, which falls with the number of target images. So compare only values from the same sizes.

    The network runs as in prediction (running statistics, no dropout), so that F and h are means over images and no
    image changes another's loss. If it has statistics for the source's images, h is computed with these. Its weights,
    buffers, modes and `.grad` are left exactly as they were.

    The objective has `uses_source`. Each side has at least one batch, on the network's device, the source's with a
    strong view if the objective uses it. A batch that does not fit into memory passes through the network in
    `num_parts` parts; only rounding changes.

    Raises UserError if no weight of the backbone learns.
    """
    parameters = [parameter for parameter in network.backbone.parameters() if parameter.requires_grad]
    if not parameters:
        raise UserError(
            "training.gradient_gap compares gradients of the backbone, so some of its weights must learn, but it "
            "arrives frozen; leave gradient_gap out"
        )
    with torch.enable_grad(), predicting(network):
        target_gradient = _mean_gradient(
            _split(target_batches, num_parts),
            lambda batch: F.cross_entropy(network(batch.images), batch.labels),
            parameters,
        )
        target_norm_squared = _dot(target_gradient, target_gradient)
        gaps, norms, cosines = [], [], []
        for batch in source_batches:
            with streams_apart(network, num_target=0):
                source_gradient = _mean_gradient(
                    _split([batch], num_parts), lambda part: objective.source_loss(network, part), parameters
                )
            difference = [a - b for a, b in zip(target_gradient, source_gradient, strict=True)]
            gaps.append(_dot(difference, difference))
            norms.append(_dot(source_gradient, source_gradient))
            scale = (target_norm_squared * norms[-1]) ** 0.5
            cosines.append(_dot(target_gradient, source_gradient) / scale if scale > 0 else 0.0)
    return GradientGap(_mean(gaps), target_norm_squared, _mean(norms), _mean(cosines))


def _split(batches: Sequence[Batch], num_parts: int) -> list[Batch]:
    """Split each batch into parts of near-equal size."""
    return [
        batch.part(rows)
        for batch in batches
        for rows in torch.arange(len(batch.labels)).tensor_split(num_parts)
        if len(rows)
    ]


def _mean_gradient(
    batches: Sequence[Batch], loss: Callable[[Batch], Tensor], parameters: list[nn.Parameter]
) -> list[Tensor]:
    """Average a loss's gradient over the images of all batches."""
    num_images = sum(len(batch.labels) for batch in batches)
    total = [torch.zeros_like(parameter) for parameter in parameters]
    for batch in batches:
        # torch.autograd.grad returns gradients without touching `.grad`.
        gradient = torch.autograd.grad(loss(batch), parameters, materialize_grads=True)
        for summed, part in zip(total, gradient, strict=True):
            summed.add_(part, alpha=len(batch.labels) / num_images)
    return total


def _dot(left: Sequence[Tensor], right: Sequence[Tensor]) -> float:
    return float(sum((a.double() * b.double()).sum() for a, b in zip(left, right, strict=True)))


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def measure_gradient_gap(work: FineTuning, held_out: LabelledImages) -> GradientGap:
    """Estimate the gap at a trial's present weights from up to NUM_BATCHES batches per side, viewed as in prediction.

    `held_out` are images of the target that the trial does not train on. The source's are drawn from those that it
    trains on, since the theorem's ξ are the steps' own images. Each call uses the same images and the same strong views
    (eq. 7), so that epochs compare.
    """
    assert work.source is not None, "asked only of objectives with a source stream"
    target = _batches(work, held_out, work.settings.batch_size, "target")
    source = _batches(work, work.source, work.source_batch_size, "source")
    return estimate_gradient_gap(work.network, work.objective, target, source, num_parts=work.num_parts)


def _batches(work: FineTuning, images: LabelledImages, size: int, side: Literal["target", "source"]) -> list[Batch]:
    preprocessing, settings = work.preprocessing, work.settings.augmentation
    generator = torch.Generator().manual_seed(derived_seed(work.seed, "gradient_gap", side))
    batches = []
    for rows in torch.randperm(len(images), generator=generator)[: NUM_BATCHES * size].split(size):
        stored, aspect = images.gather(rows).to(work.device), images.aspects[rows]
        pixels = stored.shape[1]
        centre = central_view(side=pixels, preprocessing=preprocessing, aspect=aspect)
        plain, strong = weak_view(stored, centre, preprocessing=preprocessing), None
        if side == "source" and work.objective.uses_strong_view:
            draws = draw_strong_view(aspect, side=pixels, settings=settings, generator=generator)
            strong = strong_view(stored, draws, preprocessing=preprocessing, settings=settings)
        batches.append(Batch(plain, images.labels[rows].to(work.device), strong))
    return batches
