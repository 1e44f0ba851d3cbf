"""Unbalanced optimal transport between any number of single images (eq. 5 with unit masses)."""

import math
from dataclasses import dataclass, replace
from typing import Any

from threadpoolctl import threadpool_limits

from pretrieve_selection.errors import SelectionInputError
from pretrieve_selection.image_kernel import ImageKernel
from pretrieve_selection.image_sums import stale_row_offset, sum_rows_and_columns
from pretrieve_selection.settings import SelectionSettings
from pretrieve_selection.unbalanced_transport import error_per_change

# A change of log u up to this many units in the last place of the largest exponent is only rounding.
_ROUNDING_ULPS = 4.0
_LARGEST_ROUNDING = {"float32": 1e-5, "float64": 1e-9}
# Logarithms are binary within the iteration, natural outside.
_NAT = math.log(2.0)


@dataclass(frozen=True, eq=False)
class ImageTransport:
    """How similar each source image is to the target.

    Attributes:
      log_source_marginal: (N,) float64, log P·1, finite even where P·1 underflows; an array of the kind (NumPy
        or torch) and on the device of the source.
      iterations: number of updates of both scalings.
      residual: bound on the error of log u, from its last change and the contraction of the iteration; without
        rounding.
      converged: whether the residual is at most the tolerance, or at most the rounding error of the blocks'
        precision where that is larger.
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
    """Find how much mass each source image sends to the target (eq. 5), without holding N × n numbers in memory.

    This is the iteration of `solve_unbalanced_transport` with unit masses. Each iteration computes the kernel
    again, in blocks of source images, and both updates need only one pass over it: the sums of a block's rows
    give its part of u, which gives its part of the column sums.

    Products and exponentials have the precision of the source features; sums are added up in float64. A
    float32 cost is exact to about 2e-7 / cost_scale, and so is the answer: 2e-5 at the paper's 0.01. With
    float64 features, the answer is that of the dense solver to 1e-9.

    Args:
      source_features: (N, D) floating-point array or tensor; not copied, so it may be mapped from a file. A
        tensor on a GPU is computed there.
      target_features: (n, D) floating-point array or tensor.
      settings: the costs and weights, tolerance and max_iterations; the paper's where None.
      block_size: source images in a block, ≥ 1; where None, a size that suits the device. Besides the
        features, memory holds a block for each thread, two copies of the target and some vectors of N.
      num_threads: blocks computed at the same time on a CPU, ≥ 1, each with its own buffers. With 1, only the
        products use several cores, as NumPy or torch is set; on several cores more threads are faster.

    Returns:
      ImageTransport: its `converged` is False where the iteration stopped early; this raises no error.

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
    # Blocks that run side by side use all cores. A product that uses several cores would compete with them.
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
