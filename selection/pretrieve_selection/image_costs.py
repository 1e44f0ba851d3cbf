"""Costs of single images as matrix products. The potentials of rows and columns are two more feature columns."""

from abc import ABC, abstractmethod
from typing import Any

import numpy as np

from pretrieve_selection.arrays import Precision, array_namespace, as_float, as_float64, empty_array
from pretrieve_selection.errors import SelectionInputError
from pretrieve_selection.input_checks import refuse_infinite_rows, refuse_zero_rows
from pretrieve_selection.settings import SelectionSettings

# A shorter feature vector has no direction left in float32. The square of its length is compared.
_SMALLEST_SQUARE = 1e-60
_ROWS_AT_ONCE = 8192


class ImageCost(ABC):
    """The exponents −C_ij/ε + g_j − o_i of a block, made from a product of factors of D + 2 columns.

    Attributes:
      log_shift: the part of −C_ij/ε that is the same for all pairs; the product leaves it out.
      row_constant: (N,), a number of each source image that the left factor needs.
      target_factor: (D + 2, n), the right factor.
    """

    log_shift: float
    row_constant: Any
    target_factor: Any

    @abstractmethod
    def set_column_potential(self, target_factor: Any, potential: Any) -> None:
        """Write g, (n,), into the right factor, if this cost has it there."""

    @abstractmethod
    def fill_rows(self, factor: Any, features: Any, constant: Any, row_offset: Any) -> None:
        """Write the left factor, (rows, D + 2), of these features, their constants and their o."""

    @abstractmethod
    def finish(self, block: Any, potential: Any, row_offset: Any) -> None:
        """Turn the product, (rows, n), into exponents, in place, if it does not hold them already."""


class CosineImageCost(ImageCost):
    """(cos(x, y) − 1)/s + g − o = [x/(‖x‖s), 1, −o] · [y/‖y‖, g, 1] − 1/s; the row constant is 1/(‖x‖s).

    s is cost_scale · ε.
    """

    def __init__(self, source: Any, target: Any, scale: float, precision: Precision) -> None:
        squares, target_squares = _checked_squares(source, target, centre=0.0, smallest=_SMALLEST_SQUARE)
        self.log_shift = -1.0 / scale
        self.row_constant = _rounded(1.0 / (squares**0.5 * scale), source, precision)
        unit = target / (target_squares**0.5)[:, None]
        self.target_factor = _stack(_rounded(unit.T, source, precision), 0.0, precision)

    def set_column_potential(self, target_factor: Any, potential: Any) -> None:
        target_factor[-2] = potential

    def fill_rows(self, factor: Any, features: Any, constant: Any, row_offset: Any) -> None:
        array_namespace(factor).multiply(features, constant[:, None], out=factor[:, :-2])
        factor[:, -2] = 1.0
        factor[:, -1] = -row_offset

    def finish(self, block: Any, potential: Any, row_offset: Any) -> None:
        """Do nothing: the product holds the exponents."""


class EuclideanImageCost(ImageCost):
    """g − o − ‖x − y‖/s, with (‖x − y‖/s)² = [x/s, 1, ‖x‖²/s²] · [−2y/s, ‖y‖²/s², 1]; the row constant is ‖x‖²/s².

    s is cost_scale · ε. Features are centred on the mean of the target first. The expansion of the square
    still loses digits where two images are much closer to each other than to that mean: a distance d is exact
    to about 2⁻²⁴ (‖x‖² + ‖y‖²)/d in float32. g and o are added after the square root.
    """

    def __init__(self, source: Any, target: Any, scale: float, precision: Precision) -> None:
        centre = target.mean(axis=0)
        squares, target_squares = _checked_squares(source, target, centre=centre, smallest=0.0)
        self.log_shift = 0.0
        self.row_constant = _rounded(squares / scale / scale, source, precision)
        scaled = _rounded(-2.0 * ((target - centre) / scale).T, source, precision)
        self.target_factor = _stack(scaled, _rounded(target_squares / scale / scale, source, precision), precision)
        self._centre = as_float(centre, like=source, precision=precision)
        self._inverse_scale = 1.0 / scale

    def set_column_potential(self, target_factor: Any, potential: Any) -> None:
        """Do nothing: `finish` adds g."""

    def fill_rows(self, factor: Any, features: Any, constant: Any, row_offset: Any) -> None:
        array_namespace(factor).subtract(features, self._centre, out=factor[:, :-2])
        factor[:, :-2] *= self._inverse_scale
        factor[:, -2] = 1.0
        factor[:, -1] = constant

    def finish(self, block: Any, potential: Any, row_offset: Any) -> None:
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
      precision: the precision of the products.

    Raises:
      SelectionInputError: a row is not finite or, for the cosine, the zero vector; or the cost_scale is too
        small for the precision.
    """
    make = CosineImageCost if settings.cost == "cosine" else EuclideanImageCost
    return make(source, target, settings.cost_scale * settings.entropy_weight, precision)


def _checked_squares(source: Any, target: Any, *, centre: Any, smallest: float) -> tuple[Any, Any]:
    """Return the squared distances of all rows from the centre, (N,) and (n,) float64."""
    source_squares = empty_array((len(source),), like=source, precision="float64")
    for start in range(0, len(source), _ROWS_AT_ONCE):
        rows = slice(start, start + _ROWS_AT_ONCE)
        source_squares[rows] = ((as_float64(source[rows], like=source) - centre) ** 2).sum(axis=1)
    target_squares = ((target - centre) ** 2).sum(axis=1)
    for side, squares in (("source", source_squares), ("target", target_squares)):
        values = squares.tolist()
        refuse_infinite_rows([not abs(value) < float("inf") for value in values], side, what="image")
        refuse_zero_rows([value < smallest for value in values], side, what="image")
    return source_squares, target_squares


def _stack(features: Any, second_last: Any, precision: Precision) -> Any:
    """Return [features, second_last, 1] as one factor, (D + 2, n)."""
    dimension, num_columns = features.shape
    factor = empty_array((dimension + 2, num_columns), like=features, precision=precision)
    factor[:dimension] = features
    factor[dimension] = second_last
    factor[dimension + 1] = 1.0
    return factor


def _rounded(values: Any, like: Any, precision: Precision) -> Any:
    with np.errstate(over="ignore"):
        rounded = as_float(values, like=like, precision=precision)
    if not array_namespace(rounded).isfinite(rounded).all():
        raise SelectionInputError(
            f"features / cost_scale must be within the range of {precision}, but are not; use a larger cost_scale"
        )
    return rounded
