"""Unbalanced optimal transport between any number of single images (eq. 5 with unit masses)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from threadpoolctl import threadpool_limits

from pretrieve_selection.errors import SelectionInputError
from pretrieve_selection.settings import SelectionSettings
from pretrieve_selection.unbalanced_transport import error_per_change

if TYPE_CHECKING:
    from torch import Tensor

    from pretrieve_selection.image_kernel import ImageKernel

# A change of log u up to this many units in the last place of the largest exponent is only rounding.
_ROUNDING_ULPS = 4.0
_LARGEST_ROUNDING = {"float32": 1e-5, "float64": 1e-9}
# Logarithms are binary within the iteration, because a power of two takes half the time of an exponential. Outside they
# are natural.
_NAT = math.log(2.0)

# When g changes, the logarithm of a row's sum moves by the middle of the change, give or take half its spread. Up to
# this half spread, the last sums keep the exponents of a row in range. Beyond it, and in the first iteration, the
# largest exponent of each row is computed.
_LARGEST_HALF_SPREAD = 29.0

# Lower exponents may be raised to this or taken for −∞; `_sum_rows_and_columns` bounds the error.
_SMALLEST_EXPONENT = {"float32": -115.0, "float64": -332.0}

# Numbers whose powers are computed together: they fit into a core's own cache.
_ENTRIES_OF_ONE_CALL = 2**18

# Terms of a sum that is computed in the precision of the block; these sums are added up in float64.
_TERMS_IN_BLOCK_PRECISION = 1024


@dataclass(frozen=True, eq=False)
class ImageTransport:
    """How similar each source image is to the target.

    Attributes:
      log_source_marginal: (N,) float64, log P·1, finite even where P·1 underflows; an array of the kind (NumPy or
        torch) and on the device of the source.
      iterations: number of updates of both scalings.
      residual: bound on the error of log_source_marginal, from the last change of log u and the contraction of the
        iteration; without rounding. Infinite after a single iteration, which bounds nothing.
      converged: whether the residual is at most the tolerance, or at most the rounding error of the blocks' precision
        where that is larger.
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

    This is the iteration of `solve_unbalanced_transport` with unit masses. Each iteration computes the kernel again, in
    blocks of source images, and both updates need only one pass over it: the sums of a block's rows give its part of u,
    which gives its part of the column sums.

    Products and exponentials have the precision of the source features; sums are added up in float64. A float32 cost is
    exact to about 2e-7 / cost_scale, and so is the answer: 2e-5 at the paper's 0.01. With float64 features, the answer
    is that of the dense solver to 1e-9.

    Args:
      source_features: (N, D) floating-point array or tensor; not copied, so it may be mapped from a file, unless it has
        another machine's byte order. A tensor on a GPU is computed there.
      target_features: (n, D) floating-point array or tensor.
      settings: the costs and weights, tolerance and max_iterations; the paper's where None.
      block_size: source images in a block, ≥ 1; where None, a size that suits the device. Besides the features, memory
        holds a block for each thread, two copies of the target and some vectors of N.
      num_threads: blocks computed at the same time on a CPU, ≥ 1, each with its own buffers. With 1, only the products
        use several cores, as NumPy or torch is set; on several cores more threads are faster.

    Returns:
      ImageTransport: its `converged` is False where the iteration stopped early; this raises no error.

    Raises:
      SelectionInputError: a side is not a matrix of floating-point numbers, is empty, not finite or, for the cosine,
        has a zero row; the dimensions differ; block_size or num_threads is not ≥ 1.

    >>> import numpy as np
    >>> transport = solve_image_transport(np.array([[0.6, 0.8], [0.0, 1.0]]), np.array([[2.0, 0.0]]))
    >>> transport.log_source_marginal.round(2).tolist(), transport.converged
    ([-0.39, -30.39], True)
    """
    from pretrieve_selection.image_kernel import ImageKernel  # imported here because torch loads slowly

    settings = settings or SelectionSettings()
    if num_threads < 1:
        raise SelectionInputError(f"num_threads must be at least 1, but is {num_threads}; the default is 1")
    binary = replace(settings, entropy_weight=settings.entropy_weight * _NAT)  # 2^(−C/(ε ln 2)) = exp(−C/ε)
    kernel = ImageKernel(source_features, target_features, binary, block_size=block_size, num_threads=num_threads)
    # Blocks that run side by side use all cores. A product that uses several cores would compete with them.
    with threadpool_limits(1 if num_threads > 1 else None, user_api="blas"):
        transport = _iterate(kernel, settings)
    if hasattr(source_features, "detach"):
        return transport
    return replace(transport, log_source_marginal=transport.log_source_marginal.numpy())


def _iterate(kernel: ImageKernel, settings: SelectionSettings) -> ImageTransport:
    source_power = 1.0 / (1.0 + settings.entropy_weight / settings.source_penalty)
    target_power = 1.0 / (1.0 + settings.entropy_weight / settings.target_penalty)
    bound_of_change = error_per_change(settings)
    rounding = min(_ROUNDING_ULPS * kernel.eps * bound_of_change, _LARGEST_ROUNDING[kernel.precision])
    # The first log u is made from no other, so its change is infinite.
    log_source_scaling, log_target_scaling = kernel.zeros(kernel.num_source) + math.inf, kernel.zeros(kernel.num_target)
    row_offset, iterations, residual, converged = None, 0, float("inf"), False
    while iterations < settings.max_iterations and not converged:
        log_rows, log_columns = _sum_rows_and_columns(kernel, log_target_scaling, row_offset, source_power)
        previous, log_source_scaling = log_source_scaling, -source_power * log_rows
        change = -target_power * log_columns - log_target_scaling
        log_target_scaling = log_target_scaling + change
        # Where the change of g is even enough, the sums moved by its middle keep the next exponents in range.
        lowest, highest = float(change.min()), float(change.max())
        row_offset = log_rows + (lowest + highest) / 2 if highest - lowest <= 2 * _LARGEST_HALF_SPREAD else None
        iterations += 1
        residual = _NAT * float(abs(log_source_scaling - previous).max()) * bound_of_change
        rounded = abs(kernel.log_shift), float(abs(log_target_scaling).max()), float(abs(log_rows).max())
        converged = residual <= max(settings.tolerance, sum(_NAT * rounding * each for each in rounded))
    log_rows, _ = _sum_rows_and_columns(kernel, log_target_scaling, row_offset, source_power)
    return ImageTransport(_NAT * (log_source_scaling + log_rows), iterations, residual, converged)


def _sum_rows_and_columns(
    kernel: ImageKernel, column_potential: Tensor, row_offset: Tensor | None, source_power: float
) -> tuple[Tensor, Tensor]:
    """Sum the kernel 2^(−C/ε) over both sides; the update of u between the two sums is included.

        log_rows_i    = log₂ Σ_j 2^(−C_ij/ε + g_j)
        log_columns_j = log₂ Σ_i 2^(−C_ij/ε + f_i),  f = −source_power · log_rows

    The column potential is g, (n,); the row offset is a prediction of log_rows, (N,), or None, where the largest
    exponent of each row is computed; the source power is τ₁/(τ₁+ε). Returns log_rows and log_columns; all are float64.
    """
    rounded_potential = kernel.set_column_potential(column_potential)
    column_weights = (column_potential - rounded_potential).exp2()  # corrects for the rounding
    log_rows = kernel.zeros(kernel.num_source)

    def sum_block(rows: slice) -> tuple[Tensor, Tensor]:
        start = kernel.zeros(rows.stop - rows.start) if row_offset is None else row_offset[rows]
        block, offset = kernel.exponents(rows, start)
        if row_offset is None:
            largest = block.amax(dim=1)
            block -= largest[:, None]
            offset = offset + largest.double()
        _exp2_in_place(block, kernel)
        log_rows[rows] = offset + _product(block, column_weights).log2()
        # 2^f of each row, in units of its offset: multiplied with the block, it gives the sums of the columns.
        log_weights = offset - source_power * log_rows[rows]
        return _product(block.T, (log_weights - log_weights.max()).exp2()), log_weights.max()

    column_sums, log_scale = _add_up(kernel, sum_block)
    log_columns = log_scale + column_sums.log2() - rounded_potential
    # Each of the N terms of a sum, times a factor of at most 2^29, may be wrong by the smallest exponential.
    largest_error = kernel.num_source * 2.0 ** (_SMALLEST_EXPONENT[kernel.precision] + _LARGEST_HALF_SPREAD)
    lost = column_sums < largest_error / kernel.eps
    if lost.any():
        log_columns[lost] = _log_column_sums(kernel.for_columns(lost), -source_power * log_rows)
    return log_rows, log_columns


def _log_column_sums(kernel: ImageKernel, row_potential: Tensor) -> Tensor:
    """Return log₂ Σ_i 2^(−C_ij/ε + f_i), (n,) float64, from the largest exponent of each column."""

    def sum_block(rows: slice) -> tuple[Tensor, Tensor]:
        block, offset = kernel.exponents(rows, -row_potential[rows])
        largest = block.amax(dim=0)
        block -= largest
        _exp2_in_place(block, kernel)
        return _product(block.T, (row_potential[rows] + offset).exp2()), largest.double()

    sums, log_scale = _add_up(kernel, sum_block)
    return log_scale + sums.log2()


def _add_up(kernel: ImageKernel, sum_block: Callable[[slice], tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """Add up the column sums of all blocks, each in units of 2^log_scale; return them and the largest log_scale."""
    total = kernel.zeros(kernel.num_target)
    scale = total - math.inf
    for sums, log_scale in kernel.map_blocks(sum_block):
        largest = scale.maximum(log_scale)
        total = total * (scale - largest).exp2() + sums * (log_scale - largest).exp2()
        scale = largest
    return total, scale


def _exp2_in_place(block: Tensor, kernel: ImageKernel) -> None:
    import torch

    entries = block.view(-1)
    if entries.is_cuda:
        torch.exp2(entries, out=entries)
        return
    # Subnormal numbers are many times slower, here and in sums. The thread belongs to the kernel, so that flushing them
    # to zero affects no other code.
    flushed_to_zero = torch.set_flush_denormal(True)
    for part in entries.split(_ENTRIES_OF_ONE_CALL):
        if not flushed_to_zero:
            part.clamp_min_(_SMALLEST_EXPONENT[kernel.precision])
        torch.exp2(part, out=part)


def _product(matrix: Tensor, weights: Tensor) -> Tensor:
    """Multiply a matrix and a vector: short sums in the precision of the matrix, added up in float64."""
    import torch

    weights = weights.to(matrix.dtype)
    total = weights.new_zeros(len(matrix), dtype=torch.float64)
    for start in range(0, len(weights), _TERMS_IN_BLOCK_PRECISION):
        part = slice(start, start + _TERMS_IN_BLOCK_PRECISION)
        if matrix.is_cuda:
            total += matrix[:, part] @ weights[part]
        else:  # with NumPy's product, which is the faster one here
            total += torch.from_numpy(matrix.numpy()[:, part] @ weights.numpy()[part])
    return total
