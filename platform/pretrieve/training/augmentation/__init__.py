"""Crops, flips, RandAugment, Cutout and normalisation in batches, on the device that trains."""

from pretrieve.training.augmentation.crop_draws import Crops
from pretrieve.training.augmentation.normalisation import evaluation_view, normalise, to_unit_range
from pretrieve.training.augmentation.views import (
    StrongDraws,
    central_view,
    draw_strong_view,
    draw_weak_view,
    strong_view,
    weak_view,
)

__all__ = [
    "Crops",
    "StrongDraws",
    "central_view",
    "draw_strong_view",
    "draw_weak_view",
    "evaluation_view",
    "normalise",
    "strong_view",
    "to_unit_range",
    "weak_view",
]
