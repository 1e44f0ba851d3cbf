"""Unbalanced optimal transport between single images, at any number of them (eq. 5 with unit masses)."""

import math
from dataclasses import dataclass, replace
from typing import Any

from threadpoolctl import threadpool_limits

from pretrieve_selection.errors import SelectionInputError
from pretrieve_selection.image_kernel import ImageKernel
from pretrieve_selection.image_sums import stale_row_offset, sum_rows_and_columns
from pretrieve_selection.settings import SelectionSettings
from pretrieve_selection.unbalanced_transport import error_per_change

# In units of the last place of the largest exponent: where the last change of log u is rounding alone.
_ROUNDING_ULPS = 4.0
_LARGEST_ROUNDING = {"float32": 1e-5, "float64": 1e-9}
# Logarithms are binary within the iteration, natural outside.
_NAT = math.log(2.0)


@dataclass(frozen=True, eq=False)
class ImageTransport:
    """How much each source image resembles the target; an array of the kind and on the device of the source.

    Attributes:
      log_source_marginal: (N,) float64, log P·1, finite even where P·1 underflows.
      iterations: number of updates of both scalings.
      residual: bound on the error of log u, from its last change and the contraction of the iteration;
        rounding not counted.
      converged: whether the residual came below the tolerance or, where that is larger, below what the
        precision of the blocks leaves of the largest exponent.
    """

    log_source_marginal: Any
    iterations: int
    residual: float
    converged: bool


def solve_image_transport(
    source_features: Any,
    target_features: Any,
    *,
    settings: SelectionSettings | None = None,
    block_size: int | None = None,
    num_threads: int = 1,
) -> ImageTransport:
    """Find how much mass each source image sends to the target (eq. 5), without ever holding N × n numbers.

    The iteration of `solve_unbalanced_transport` with unit masses. The kernel is computed anew in each
    iteration, in blocks of source images, and both updates come from one pass over it: as soon as the sums
    of a block's rows are known, so is its part of u, and with that its share in the sums of the columns.

    Products and exponentials are of the precision of the source features, sums are added up in float64. A
    float32 cost is exact to about 2e-7 / cost_scale, and so is the answer: 2e-5 at the paper's 0.01. Give
    float64 features for the answer of the dense solver to 1e-9.

    Args:
      source_features: (N, D) floating-point array or tensor; not copied, so it may be mapped from a file. A
        tensor on a GPU is computed with there.
      target_features: (n, D), likewise.
      settings: cost, cost_scale, entropy_weight, source_penalty, target_penalty, tolerance, max_iterations;
        the paper's where not given.
      block_size: source images in a block, ≥ 1; chosen to suit the device where not given. Memory beside the
        features is that of a block, of two copies of the target and of some vectors of N.
      num_threads: blocks computed at the same time, ≥ 1, each with buffers of its own; no matter
        on a GPU. With 1 the products alone spread over the cores, as NumPy or torch is set to: on several cores
        more threads are faster.

    Returns:
      ImageTransport: log P·1, iterations, residual, and whether it converged (one that did not is marked, not
        raised).

    Raises:
      SelectionInputError: a side is not a matrix of floating-point numbers, is empty, not finite or, for the
        cosine, has a zero row; the dimensions differ; block_size or num_threads is not ≥ 1.

    >>> import numpy as np
    >>> transport = solve_image_transport(np.array([[0.6, 0.8], [0.0, 1.0]]), np.array([[2.0, 0.0]]))
    >>> transport.log_source_marginal.round(2).tolist(), transport.converged
    ([-0.39, -30.39], True)
    """
    settings = settings or SelectionSettings()
    if num_threads < 1:
        raise SelectionInputError(f"num_threads must be at least 1, but is {num_threads}; the default is 1")
    binary = replace(settings, entropy_weight=settings.entropy_weight * _NAT)  # 2^(−C/(ε ln 2)) = exp(−C/ε)
    kernel = ImageKernel(source_features, target_features, binary, block_size=block_size, num_threads=num_threads)
    # Blocks side by side keep every core busy; a product that spreads over the cores by itself would get in their way.
    with threadpool_limits(1 if num_threads > 1 else None, user_api="blas"):
        return _iterate(kernel, settings)


def _iterate(kernel: ImageKernel, settings: SelectionSettings) -> ImageTransport:
    source_power = 1.0 / (1.0 + settings.entropy_weight / settings.source_penalty)
    target_power = 1.0 / (1.0 + settings.entropy_weight / settings.target_penalty)
    bound_of_change = error_per_change(settings)
    rounding = min(_ROUNDING_ULPS * kernel.eps * bound_of_change, _LARGEST_ROUNDING[kernel.precision])
    log_source_scaling, log_target_scaling = kernel.zeros(kernel.num_source), kernel.zeros(kernel.num_target)
    row_offset, iterations, residual, converged = None, 0, float("inf"), False
    while iterations < settings.max_iterations and not converged:
        log_rows, log_columns = sum_rows_and_columns(kernel, log_target_scaling, row_offset, source_power)
        previous, log_source_scaling = log_source_scaling, -source_power * log_rows
        change = -target_power * log_columns - log_target_scaling
        log_target_scaling = log_target_scaling + change
        row_offset = stale_row_offset(log_rows, change)
        iterations += 1
        residual = _NAT * float(abs(log_source_scaling - previous).max()) * bound_of_change
        magnitude = abs(kernel.log_shift) + float(abs(log_target_scaling).max()) + float(abs(log_rows).max())
        converged = residual <= max(settings.tolerance, rounding * _NAT * magnitude)
    log_rows, _ = sum_rows_and_columns(kernel, log_target_scaling, row_offset, source_power)
    return ImageTransport(_NAT * (log_source_scaling + log_rows), iterations, residual, converged)
