"""Verification of a pair by its pixels: one image is aligned with the other and then compared."""

from __future__ import annotations

from dataclasses import dataclass, fields
from itertools import product
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pretrieve.audit.windows import WHOLE, Floats, Window, averaging_matrices, to_grey, window_grid, window_matrices

Kind = Literal["same", "mirrored", "cropped", "cropped and mirrored"]

COARSE_CELLS, COARSE_PIXELS, FINE_CELLS = 16, 32, 32
"""Sides of small images: those compared in every window, those that they are made from, and those compared last."""

REFINEMENTS = (0.025, 0.0125)
"""Steps, in fractions of the side, by which the best window of the grid is moved and resized, in turn."""

DETAIL_CELLS = 5
"""Side of the square whose mean is subtracted from a cell to leave the detail."""

WHOLE_SIDE = 0.97
"""Windows of at least this side are the whole image except for its edge."""

PAIRS_AT_A_TIME = 256


@dataclass(frozen=True)
class Alignments:
    """How well P pairs fit.

    Attributes:
      correlations: (P,) of the grey images, −1 … 1; 0 if an image is blank.
      details: (P,) the same without large shapes, which other pictures may share.
      colour_errors: (P,) mean difference of red, green and blue, 0 … 255.
      windows: (P, 3) side, top and left of the part of the larger picture that the other one shows.
      source_is_part: (P,) bool, true if the source image shows a part of the test image.
      is_mirrored: (P,) bool.
    """

    correlations: Floats
    details: Floats
    colour_errors: Floats
    windows: NDArray[np.float64]
    source_is_part: NDArray[np.bool_]
    is_mirrored: NDArray[np.bool_]

    def kind(self, pair: int) -> Kind:
        if self.windows[pair, 0] < WHOLE_SIDE:
            return "cropped and mirrored" if self.is_mirrored[pair] else "cropped"
        return "mirrored" if self.is_mirrored[pair] else "same"


def align(source: NDArray[np.uint8], test: NDArray[np.uint8], *, smallest_side: float, step: float) -> Alignments:
    """Find for each pair of images the window and the orientation, mirrored or not, in which they fit best.

    `source` and `test` are the images of the same pairs, (P, S, S, 3) uint8 RGB. `smallest_side` of a window and `step`
    of the grid of windows are fractions of the image's side. The result for a pair depends on no other pair.
    """
    parts = [
        _align_some(source[start : start + PAIRS_AT_A_TIME], test[start : start + PAIRS_AT_A_TIME], smallest_side, step)
        for start in range(0, max(1, len(source)), PAIRS_AT_A_TIME)
    ]
    return Alignments(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(Alignments)))


def _align_some(source: NDArray[np.uint8], test: NDArray[np.uint8], smallest_side: float, step: float) -> Alignments:
    windows = window_grid(smallest_side, step)
    chosen, is_part, is_mirrored = _best_on_grid(source, test, windows)
    whole = np.where(is_part[:, None, None, None], source, test)
    larger = np.where(is_part[:, None, None, None], test, source)
    # The whole image is mirrored, not the larger one, so that windows are relative to the larger image as it is.
    whole[is_mirrored] = whole[is_mirrored, :, ::-1]
    small = _cells(whole, np.tile(np.array(WHOLE), (len(whole), 1)))
    fitted, refined = _refine(small, larger, np.array(windows, dtype=np.float64)[chosen], smallest_side)
    first, second = to_grey(small), to_grey(fitted)
    correlations, details = _correlations(first, second), _correlations(_detail(first), _detail(second))
    errors: Floats = np.abs(small - fitted).mean(axis=(1, 2, 3))
    return Alignments(correlations, details, errors, refined, is_part, is_mirrored)


def _best_on_grid(
    source: NDArray[np.uint8], test: NDArray[np.uint8], windows: tuple[Window, ...]
) -> tuple[NDArray[np.int64], NDArray[np.bool_], NDArray[np.bool_]]:
    """Return the window that fits best, whether the source is the part, and whether the pair is mirrored."""
    shrink, _ = window_matrices(source.shape[1], WHOLE, COARSE_PIXELS)
    small = [shrink @ to_grey(images) @ shrink.T for images in (source, test)]
    scores = np.empty((len(source), len(windows), 2, 2), dtype=np.float32)
    for side, (larger, part) in enumerate([small, small[::-1]]):
        reference = _standardised(_window_of(part, WHOLE))
        reflected = _standardised(_window_of(part[:, :, ::-1], WHOLE))
        for number, window in enumerate(windows):
            cells = _standardised(_window_of(larger, window))
            scores[:, number, side, 0] = (cells * reference).sum(axis=1)
            scores[:, number, side, 1] = (cells * reflected).sum(axis=1)
    # A fine texture is blank at the coarse size and would fit any window, so whole images are compared at both sizes.
    shrink, _ = window_matrices(source.shape[1], WHOLE, FINE_CELLS)
    first, second = (shrink @ to_grey(images) @ shrink.T for images in (source, test))
    fine = np.stack([_correlations(first, second), _correlations(first, second[:, :, ::-1])], axis=1)
    scores[:, 0] = np.maximum(scores[:, 0], fine[:, None])
    best = scores.reshape(len(scores), 4 * len(windows)).argmax(axis=1)
    chosen, is_part, is_mirrored = np.unravel_index(best, scores.shape[1:])
    return chosen, is_part.astype(bool), is_mirrored.astype(bool)


def _window_of(grey: Floats, window: Window) -> Floats:
    rows, columns = window_matrices(COARSE_PIXELS, window, COARSE_CELLS)
    cells: Floats = rows @ grey @ columns.T
    return cells


def _refine(
    small: Floats, larger: NDArray[np.uint8], windows: NDArray[np.float64], smallest_side: float
) -> tuple[Floats, NDArray[np.float64]]:
    """Move and resize each pair's window while the detail fits better; return its cells and the window."""
    reference = _detail(to_grey(small))
    grey = to_grey(larger)[..., None]
    best = _detail_scores(reference, grey, windows)
    for step in REFINEMENTS:
        start = windows.copy()
        for resizing, down, right in product((0.0, -step, step), repeat=3):
            sides = (start[:, :1] + resizing).clip(smallest_side - sum(REFINEMENTS), 1)
            centred = start[:, 1:] + (start[:, :1] - sides) / 2
            moved = np.concatenate([sides, (centred + np.array([down, right])).clip(0, 1 - sides)], axis=1)
            scores = _detail_scores(reference, grey, moved)
            better = scores > best
            windows, best = np.where(better[:, None], moved, windows), np.maximum(scores, best)
    return _cells(larger, windows), windows


def _detail_scores(reference: Floats, grey: Floats, windows: NDArray[np.float64]) -> Floats:
    return _correlations(reference, _detail(_cells(grey, windows)[..., 0]))


def _cells(images: NDArray[np.uint8] | Floats, windows: NDArray[np.float64]) -> Floats:
    """Average a window of each of (P, S, S, C) images into (P, cells, cells, C)."""
    size = images.shape[1]
    rows = averaging_matrices(size, windows[:, 1], windows[:, 0], FINE_CELLS)
    columns = averaging_matrices(size, windows[:, 2], windows[:, 0], FINE_CELLS)
    planes = np.moveaxis(images.astype(np.float32), 3, 0)
    cells: Floats = np.moveaxis(rows @ planes @ columns.transpose(0, 2, 1), 0, 3)
    return cells


def _detail(grey: Floats) -> Floats:
    margin = DETAIL_CELLS // 2
    padded = np.pad(grey, ((0, 0), (margin, margin), (margin, margin)), mode="edge")
    rows = np.lib.stride_tricks.sliding_window_view(padded, DETAIL_CELLS, axis=1).mean(axis=-1)
    mean: Floats = np.lib.stride_tricks.sliding_window_view(rows, DETAIL_CELLS, axis=2).mean(axis=-1)
    return grey - mean


def _standardised(grey: Floats) -> Floats:
    flat = grey.reshape(len(grey), grey.shape[1] * grey.shape[2])
    centred = flat - flat.mean(axis=1, keepdims=True)
    lengths = np.sqrt((centred**2).sum(axis=1, keepdims=True))
    # Below the rounding of a grey value there is only noise, which must not be amplified.
    units: Floats = np.where(lengths > np.sqrt(flat.shape[1]) / 4, centred / np.maximum(lengths, 1e-6), 0)
    return units


def _correlations(first: Floats, second: Floats) -> Floats:
    products: Floats = (_standardised(first) * _standardised(second)).sum(axis=1)
    return products
