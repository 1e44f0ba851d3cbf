"""Sum the kernel between single images over its rows and its columns, in one pass over its blocks.

All logarithms here are binary, because a power of two takes half the time of an exponential.
"""

from typing import Any

import numpy as np

from pretrieve_selection.arrays import Precision, array_namespace, as_float, as_float64
from pretrieve_selection.image_kernel import ImageKernel, Workspace

# When g changes, the logarithm of a row's sum moves by the middle of the change, give or take half its spread. Up to
# this half spread, the last sums keep the exponents of a row in range. Beyond it, and in the first iteration, the
# largest exponent of each row is computed.
_LARGEST_HALF_SPREAD = 29.0

# Lower exponents may be raised to this or taken for −∞; `_smallest_trusted_sum` bounds the error.
_SMALLEST_EXPONENT = {"float32": -115.0, "float64": -332.0}

# Numbers whose powers are computed together: they fit into a core's own cache.
_ENTRIES_OF_ONE_CALL = 2**18

# Terms of a sum that is computed in the precision of the block; these sums are added up in float64.
_TERMS_IN_BLOCK_PRECISION = 1024


class LogSums:
    """Add up numbers that have a logarithmic scale: `sums` is in units of 2^log_scale, the largest scale so far."""

    def __init__(self) -> None:
        self.sums: Any = None
        self.log_scale: Any = None  # one for all sums, or one for each

    def add(self, sums: Any, log_scale: Any) -> None:
        """Add 2^log_scale · sums, elementwise."""
        if self.sums is None:
            self.sums, self.log_scale = sums, log_scale
            return
        xp = array_namespace(sums)
        largest = xp.maximum(self.log_scale, log_scale)
        self.sums = self.sums * xp.exp2(self.log_scale - largest) + sums * xp.exp2(log_scale - largest)
        self.log_scale = largest

    def logarithms(self) -> Any:
        """Return the logarithms of the sums; −∞ for a sum that underflows at this scale."""
        with np.errstate(divide="ignore"):
            return self.log_scale + array_namespace(self.sums).log2(self.sums)


def sum_rows_and_columns(
    kernel: ImageKernel, column_potential: Any, row_offset: Any, source_power: float
) -> tuple[Any, Any]:
    """Sum the kernel 2^(−C/ε) over both sides; the update of u between the two sums is included.

        log_rows_i    = log₂ Σ_j 2^(−C_ij/ε + g_j)
        log_columns_j = log₂ Σ_i 2^(−C_ij/ε + f_i),  f = −source_power · log_rows

    Args:
      kernel: its ε makes the kernel a power of two.
      column_potential: (n,) float64, g.
      row_offset: (N,) float64, the prediction of log_rows by `stale_row_offset`; or None.
      source_power: τ₁/(τ₁+ε).

    Returns:
      log_rows (N,) and log_columns (n,), float64.
    """
    xp = array_namespace(column_potential)
    rounded_potential = kernel.set_column_potential(column_potential)
    column_weights = xp.exp2(column_potential - rounded_potential)  # corrects for the rounding
    log_rows, columns = kernel.zeros(kernel.num_source), LogSums()

    def sum_block(rows: slice, workspace: Workspace) -> tuple[Any, Any, Any]:
        block, offset = _exponentials(kernel, rows, row_offset, workspace)
        log_sums = offset + xp.log2(_product(block, column_weights))
        # 2^f of each row, in units of its offset: multiplied with the block, it gives the sums of the columns.
        log_weights = offset - source_power * log_sums
        largest = log_weights.max()
        return log_sums, _product(block.T, xp.exp2(log_weights - largest)), largest

    for rows, (log_sums, column_sums, log_scale) in kernel.map_blocks(sum_block):
        log_rows[rows] = log_sums
        columns.add(column_sums, log_scale)
    log_columns = columns.logarithms() - rounded_potential
    lost = columns.sums < _smallest_trusted_sum(kernel)
    if lost.any():
        log_columns[lost] = _log_column_sums(kernel.for_columns(lost), -source_power * log_rows)
    return log_rows, log_columns


def stale_row_offset(log_rows: Any, change: Any) -> Any:
    """Predict log_rows, (N,) float64, after this change of g, (n,), well enough to keep exponents in range.

    Returns:
      (N,) float64; or None where the change is too uneven for a prediction.
    """
    lowest, highest = float(change.min()), float(change.max())
    if not highest - lowest <= 2 * _LARGEST_HALF_SPREAD:
        return None
    return log_rows + (lowest + highest) / 2


def _exponentials(kernel: ImageKernel, rows: slice, row_offset: Any, workspace: Workspace) -> tuple[Any, Any]:
    """Return 2^(−C/ε + g − o) of a block, and the o, given or computed, that keep it in range."""
    start = kernel.zeros(rows.stop - rows.start) if row_offset is None else row_offset[rows]
    block, offset = kernel.exponents(rows, start, workspace)
    if row_offset is None:
        largest = array_namespace(block).amax(block, axis=1)
        block -= largest[:, None]
        offset = offset + as_float64(largest, like=block)
    return _exp2_in_place(block, kernel), offset


def _log_column_sums(kernel: ImageKernel, row_potential: Any) -> Any:
    """Return log₂ Σ_i 2^(−C_ij/ε + f_i), (n,) float64, from the largest exponent of each column."""

    def sum_block(rows: slice, workspace: Workspace) -> tuple[Any, Any]:
        block, offset = kernel.exponents(rows, -row_potential[rows], workspace)
        xp = array_namespace(block)
        largest = xp.amax(block, axis=0)
        block -= largest
        weights = xp.exp2(row_potential[rows] + offset)
        return _product(_exp2_in_place(block, kernel).T, weights), as_float64(largest, like=block)

    columns = LogSums()
    for _, (sums, log_scale) in kernel.map_blocks(sum_block):
        columns.add(sums, log_scale)
    return columns.logarithms()


def _exp2_in_place(block: Any, kernel: ImageKernel) -> Any:
    # torch is used for arrays too: NumPy has no vectorised power of two on most CPUs.
    import torch

    entries = (torch.from_numpy(block) if array_namespace(block) is np else block).view(-1)
    if entries.is_cuda:
        torch.exp2(entries, out=entries)
        return block
    # Subnormal numbers are many times slower, here and in sums. The thread belongs to the kernel, so that flushing
    # them to zero affects no other code.
    flushed_to_zero = torch.set_flush_denormal(True)
    for part in entries.split(_ENTRIES_OF_ONE_CALL):
        if not flushed_to_zero:
            part.clamp_min_(_SMALLEST_EXPONENT[kernel.precision])
        torch.exp2(part, out=part)
    return block


def _product(matrix: Any, weights: Any) -> Any:
    """Multiply a matrix and a vector: short sums in the precision of the matrix, added up in float64."""
    precision: Precision = "float64" if matrix.dtype == array_namespace(matrix).float64 else "float32"
    weights = as_float(weights, like=matrix, precision=precision)
    like = matrix
    if not getattr(matrix, "is_cuda", False):  # NumPy's product is used for tensors on a CPU too
        matrix, weights = np.asarray(matrix), np.asarray(weights)
    total = 0.0
    for start in range(0, len(weights), _TERMS_IN_BLOCK_PRECISION):
        part = slice(start, start + _TERMS_IN_BLOCK_PRECISION)
        total = total + as_float64(matrix[:, part] @ weights[part], like=like)
    return total


def _smallest_trusted_sum(kernel: ImageKernel) -> float:
    # Each of the N terms of a sum, times a factor of at most 2^29, may be wrong by the smallest exponential.
    largest = 2.0 ** (_SMALLEST_EXPONENT[kernel.precision] + _LARGEST_HALF_SPREAD)
    return float(kernel.num_source * largest / kernel.eps)
