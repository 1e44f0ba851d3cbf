"""Cutout: a grey square over each image."""

from __future__ import annotations

import torch
from torch import Tensor


def cut_out(images: Tensor, centres: Tensor, fraction: float) -> Tensor:
    """Put a square of the mean colour over each image.

    Args:
      images: (B, 3, S, S) float32, normalised, so that the mean colour is 0; changed in place.
      centres: (B, 2) in [0, 1), as shares of width and height; the square is clipped at the border.
      fraction: of the square's side in S; 0 changes nothing.

    Returns:
      The images.

    >>> cut_out(torch.ones(1, 1, 4, 4), torch.tensor([[0.0, 0.5]]), 0.5)[0, 0].long()
    tensor([[1, 1, 1, 1],
            [0, 1, 1, 1],
            [0, 1, 1, 1],
            [1, 1, 1, 1]])
    """
    size = images.shape[-1]
    length = round(fraction * size)
    first = ((centres * size).long() - length // 2).to(images.device, non_blocking=True)
    places = torch.arange(size, device=images.device)
    covered = (places >= first[..., None]) & (places < first[..., None] + length)
    columns, rows = covered.unbind(1)
    return images.masked_fill_((rows[:, :, None] & columns[:, None, :])[:, None], 0.0)
