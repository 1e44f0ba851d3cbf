"""Crops, flips, RandAugment, Cutout and normalisation in batches, on the device that trains."""

from pretrieve.training.augmentation.normalisation import evaluation_view, normalise, to_unit_range
from pretrieve.training.augmentation.views import (
    StrongDraws,
    WeakDraws,
    central_view,
    draw_strong_view,
    draw_weak_view,
    strong_view,
    weak_view,
)

__all__ = [
    "StrongDraws",
    "WeakDraws",
    "central_view",
    "draw_strong_view",
    "draw_weak_view",
    "evaluation_view",
    "normalise",
    "strong_view",
    "to_unit_range",
    "weak_view",
]
