"""Mixing: blends of two images and of their labels, by mixup (Zhang et al. 2018) or CutMix (Yun et al. 2019)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pretrieve.training.objectives import Batch
from pretrieve.training.settings import Mix


@dataclass(frozen=True)
class Blend:
    """How two images are blended; one draw holds for all pairs of a step.

    Attributes:
      share: λ in [0, 1], the share of the first image.
      box: of CutMix, left, top, right and bottom of what the second image covers, in pixels; its area is 1 − λ of the
        image's. None for mixup: λ · first + (1 − λ) · second, pixel by pixel.
    """

    share: float
    box: tuple[int, int, int, int] | None = None

    def images(self, first: Tensor, second: Tensor) -> Tensor:
        """Blend (B, 3, S, S) images in pairs."""
        if self.box is None:
            return first.lerp(second, 1 - self.share)
        left, top, right, bottom = self.box
        blended = first.clone()
        blended[..., top:bottom, left:right] = second[..., top:bottom, left:right]
        return blended


def draw_blend(mix: Mix, *, alpha: float, size: int, keeps_most: bool, rng: np.random.Generator) -> Blend:
    """Draw λ from Beta(α, α), and for CutMix a box on images of `size` pixels a side.

    `keeps_most`: the larger of λ and 1 − λ is taken, so that the first image has at least half. The box has √(1 − λ) of
    the side, rounded down, and its centre is uniform. It is clipped at the border, and λ becomes what it leaves.
    """
    share = float(rng.beta(alpha, alpha))
    if keeps_most:
        share = max(share, 1 - share)
    if mix == "mixup":
        return Blend(share)
    length = int(size * (1 - share) ** 0.5)
    left, top = (int(centre) - length // 2 for centre in rng.integers(size, size=2))
    right, bottom = min(left + length, size), min(top + length, size)
    left, top = max(left, 0), max(top, 0)
    return Blend(1 - (right - left) * (bottom - top) / size**2, (left, top, right, bottom))


def mix_within(batch: Batch, mix: Mix, *, alpha: float, rng: np.random.Generator) -> Batch:
    """Blend each image of a batch, and its label, with that of a partner; the partners are a permutation of the batch.

    The images are normalised, the labels (B, K) float32.
    """
    blend = draw_blend(mix, alpha=alpha, size=batch.images.shape[-1], keeps_most=False, rng=rng)
    partners = torch.from_numpy(rng.permutation(len(batch.images))).to(batch.images.device, non_blocking=True)
    images = blend.images(batch.images, batch.images[partners])
    return batch._replace(images=images, labels=batch.labels.lerp(batch.labels[partners], 1 - blend.share))


def mix_between(
    target: Batch, source: Batch, mix: Mix, *, alpha: float, rng: np.random.Generator
) -> tuple[Batch, Batch]:
    """Blend target image i with source image i mod B_s, and source image j with target image j mod B_t.

    Each stream keeps at least half of its own images, λ ≥ 1/2, and its own labels. Their weight becomes λ, as a head
    knows only the classes of its stream: the target's loss is λ · CE(λ · x_t + (1 − λ) · x_s, y_t), the source's
    λ · CE(λ · x_s + (1 − λ) · x_t, y_s). Labels are (B, K) float32, of either stream's classes; the source has no
    strong view.
    """
    blend = draw_blend(mix, alpha=alpha, size=target.images.shape[-1], keeps_most=True, rng=rng)

    def mixed(own: Batch, other: Batch) -> Batch:
        partners = torch.arange(len(own.images), device=own.images.device) % len(other.images)
        images = blend.images(own.images, other.images[partners])
        return own._replace(images=images, labels=own.labels * blend.share)

    return mixed(target, source), mixed(source, target)
