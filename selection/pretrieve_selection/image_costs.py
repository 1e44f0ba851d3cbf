"""Costs of single images as matrix products: the row and column potentials ride along as two more features."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np

from pretrieve_selection.arrays import Precision, array_namespace, as_float, as_float64, empty_array
from pretrieve_selection.errors import SelectionInputError
from pretrieve_selection.input_checks import refuse_rows
from pretrieve_selection.settings import SelectionSettings

# Shorter features have no direction left in float32; the square of the length is what is compared.
_SMALLEST_SQUARE = 1e-60
_ROWS_AT_ONCE = 8192


@dataclass(frozen=True, eq=False)
class ImageCost(ABC):
    """The exponents −C_ij/ε + g_j − o_i of a block, made from a product of factors of D + 2 columns.

    Attributes:
      log_shift: the part of −C_ij/ε that is the same for all pairs, which the product leaves out.
      row_constant: (N,), what the left factor needs to know of each source image.
      target_factor: (D + 2, n), the right factor.
    """

    log_shift: float
    row_constant: Any
    target_factor: Any

    @abstractmethod
    def set_column_potential(self, target_factor: Any, potential: Any) -> None:
        """Write g, (n,), into the right factor, where it belongs there."""

    @abstractmethod
    def fill_rows(self, factor: Any, features: Any, constant: Any, row_offset: Any) -> None:
        """Write the left factor, (rows, D + 2), of these features, their constants and their o."""

    @abstractmethod
    def finish(self, block: Any, potential: Any, row_offset: Any) -> None:
        """Turn the product, (rows, n), into exponents, in place."""


@dataclass(frozen=True, eq=False)
class CosineImageCost(ImageCost):
    """(cos(x, y) − 1)/s + g − o = [x/(‖x‖s), 1, −o] · [y/‖y‖, g, 1] − 1/s, with s = cost_scale · ε."""

    def set_column_potential(self, target_factor: Any, potential: Any) -> None:
        """Write g, (n,), into the right factor."""
        target_factor[-2] = potential

    def fill_rows(self, factor: Any, features: Any, constant: Any, row_offset: Any) -> None:
        """Write the left factor, (rows, D + 2), of these features, their constants 1/(‖x‖s) and their o."""
        array_namespace(factor).multiply(features, constant[:, None], out=factor[:, :-2])
        factor[:, -2] = 1.0
        factor[:, -1] = -row_offset

    def finish(self, block: Any, potential: Any, row_offset: Any) -> None:
        """Leave the product, (rows, n), as it is: it holds the exponents."""


@dataclass(frozen=True, eq=False)
class EuclideanImageCost(ImageCost):
    """g − o − ‖x − y‖/s, with (‖x − y‖/s)² = [x/s, 1, ‖x‖²/s²] · [−2y/s, ‖y‖²/s², 1] and s = cost_scale · ε.

    Features are centred on the mean of the target first. The expansion of the square still loses digits
    where two images are much closer to each other than to that mean: a distance d is exact to about
    2⁻²⁴ (‖x‖² + ‖y‖²)/d in float32.
    """

    centre: Any
    inverse_scale: float

    def set_column_potential(self, target_factor: Any, potential: Any) -> None:
        """Leave the right factor as it is: g is added behind the square root."""

    def fill_rows(self, factor: Any, features: Any, constant: Any, row_offset: Any) -> None:
        """Write the left factor, (rows, D + 2), of these features and their constants ‖x‖²/s²."""
        array_namespace(factor).subtract(features, self.centre, out=factor[:, :-2])
        factor[:, :-2] *= self.inverse_scale
        factor[:, -2] = 1.0
        factor[:, -1] = constant

    def finish(self, block: Any, potential: Any, row_offset: Any) -> None:
        """Turn the squares, (rows, n), into exponents, in place."""
        xp = array_namespace(block)
        xp.clip(block, 0.0, None, out=block)
        xp.sqrt(block, out=block)
        xp.subtract(potential, block, out=block)
        block -= row_offset[:, None]


def make_image_cost(source: Any, target: Any, settings: SelectionSettings, precision: Precision) -> ImageCost:
    """Prepare the cost of these images.

    Args:
      source: (N, D) features; read in parts, none of which is kept.
      target: (n, D) float64, of the kind and on the device of the source.
      settings: cost, cost_scale, entropy_weight.
      precision: that of the products.

    Raises:
      SelectionInputError: a row is not finite or, for the cosine, the zero vector; or the cost_scale is too
        small for the precision.
    """
    scale = settings.cost_scale * settings.entropy_weight
    if settings.cost == "cosine":
        return _make_cosine_cost(source, target, scale, precision)
    return _make_euclidean_cost(source, target, scale, precision)


def _make_cosine_cost(source: Any, target: Any, scale: float, precision: Precision) -> ImageCost:
    squares, target_squares = _checked_squares(source, target, centre=0.0, smallest=_SMALLEST_SQUARE)
    unit = target / (target_squares**0.5)[:, None]
    return CosineImageCost(
        log_shift=-1.0 / scale,
        row_constant=_rounded(1.0 / (squares**0.5 * scale), source, precision),
        target_factor=_stack(_rounded(unit.T, source, precision), 0.0, 1.0, precision),
    )


def _make_euclidean_cost(source: Any, target: Any, scale: float, precision: Precision) -> ImageCost:
    centre = target.mean(axis=0)
    squares, target_squares = _checked_squares(source, target, centre=centre, smallest=0.0)
    scaled = (target - centre) / scale
    return EuclideanImageCost(
        log_shift=0.0,
        row_constant=_rounded(squares / scale / scale, source, precision),
        target_factor=_stack(
            _rounded(-2.0 * scaled.T, source, precision),
            _rounded(target_squares / scale / scale, source, precision),
            1.0,
            precision,
        ),
        centre=as_float(centre, like=source, precision=precision),
        inverse_scale=1.0 / scale,
    )


def _checked_squares(source: Any, target: Any, *, centre: Any, smallest: float) -> tuple[Any, Any]:
    """Return the squared distances of all rows from the centre, (N,) and (n,) float64."""
    source_squares = empty_array((len(source),), like=source, precision="float64")
    for start in range(0, len(source), _ROWS_AT_ONCE):
        rows = slice(start, start + _ROWS_AT_ONCE)
        source_squares[rows] = ((as_float64(source[rows], like=source) - centre) ** 2).sum(axis=1)
    target_squares = ((target - centre) ** 2).sum(axis=1)
    for side, squares in (("source", source_squares), ("target", target_squares)):
        values = squares.tolist()
        refuse_rows(
            [not abs(value) < float("inf") for value in values],
            "finite (no NaN, no infinity)",
            side,
            None,
            "extract its features again",
            what="image",
        )
        refuse_rows(
            [value < smallest for value in values],
            "different from the zero vector to have a cosine",
            side,
            None,
            "extract its features again, or use the cost 'l2'",
            what="image",
        )
    return source_squares, target_squares


def _stack(features: Any, second_last: Any, last: Any, precision: Precision) -> Any:
    dimension, num_columns = features.shape
    factor = empty_array((dimension + 2, num_columns), like=features, precision=precision)
    factor[:dimension] = features
    factor[dimension] = second_last
    factor[dimension + 1] = last
    return factor


def _rounded(values: Any, like: Any, precision: Precision) -> Any:
    with np.errstate(over="ignore"):
        rounded = as_float(values, like=like, precision=precision)
    if not array_namespace(rounded).isfinite(rounded).all():
        raise SelectionInputError(
            f"features / cost_scale must be within the range of {precision}, but are not; use a larger cost_scale"
        )
    return rounded
