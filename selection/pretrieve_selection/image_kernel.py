"""The exponents of the kernel between single images, one block of rows at a time. It computes with torch."""

import copy
import threading
import warnings
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from pretrieve_selection.errors import SelectionInputError
from pretrieve_selection.input_checks import FINITE, NOT_ZERO, check_features, check_same_dimension, refuse_rows
from pretrieve_selection.settings import SelectionSettings

# Entries of a block. On a CPU it fits into the last cache, and a call from Python is cheap beside it. On a GPU it is
# large enough to keep the device busy.
_BLOCK_ENTRIES_CPU = 2**22
_BLOCK_ENTRIES_GPU = 2**26

# A shorter feature vector has no direction left in float32. The square of its length is compared.
_SMALLEST_SQUARE = 1e-60
_ROWS_AT_ONCE = 8192

ResultT = TypeVar("ResultT")


class ImageKernel:
    """Compute −C_ij/ε + g_j − o_i for blocks of source images, into buffers that the blocks reuse.

    A block comes from one product of two factors with D + 2 columns. With s = cost_scale · ε:

        cosine:  (cos(x, y) − 1)/s + g − o = [x/(‖x‖s), 1, −o] · [y/‖y‖, g, 1] − 1/s
        l2:      (‖x − y‖/s)² = [x/s, 1, ‖x‖²/s²] · [−2y/s, ‖y‖²/s², 1]; then g − o − the square root

    For l2, features are centred on the mean of the target first. The expansion of the square still loses digits where
    two images are much closer to each other than to that mean: a distance d is exact to about 2⁻²⁴ (‖x‖² + ‖y‖²)/d in
    float32.

    Besides the features, memory holds vectors of N numbers, two copies of the target, and for each thread two buffers
    of `block_size` rows.

    Args:
      source: (N, D) array or tensor, floating point of any byte order. Blocks are float64 where the source is at least
        that, else float32.
      target: (n, D) array or tensor, floating point.
      settings: cost, cost_scale, entropy_weight.
      block_size: source images in a block, ≥ 1; chosen to suit the device where None.
      num_threads: blocks computed at the same time, ≥ 1.

    Attributes:
      precision: "float32" or "float64", that of the blocks; `eps` is the distance from 1 to the next number in it.
      log_shift: the part of −C_ij/ε that is the same for all pairs.
      num_source: N; `num_target` is n.

    Raises:
      SelectionInputError: a side is not a matrix of floating-point numbers, is empty, not finite or, for the cosine,
        has a zero row; the dimensions differ; block_size is not ≥ 1.
    """

    def __init__(
        self, source: Any, target: Any, settings: SelectionSettings, *, block_size: int | None, num_threads: int = 1
    ) -> None:
        self._source, given_target = _as_matrix(source, "source"), _as_matrix(target, "target")
        check_same_dimension(self._source, given_target)
        self._dtype = torch.float64 if self._source.dtype == torch.float64 else torch.float32
        self.precision, self.eps = str(self._dtype).removeprefix("torch."), torch.finfo(self._dtype).eps
        (self.num_source, dimension), self.num_target = self._source.shape, len(given_target)
        if block_size is None:
            entries = _BLOCK_ENTRIES_GPU if self._source.is_cuda else _BLOCK_ENTRIES_CPU
            block_size = max(1, entries // (self.num_target + dimension))
        if block_size < 1:
            raise SelectionInputError(
                f"block_size must be at least 1, but is {block_size}; leave it out to have it chosen"
            )
        self._block_size = min(block_size, self.num_source)
        self._is_cosine = settings.cost == "cosine"
        self._scale = settings.cost_scale * settings.entropy_weight
        self.log_shift = -1.0 / self._scale if self._is_cosine else 0.0
        self._make_factors(given_target.to(self._source.device, torch.float64))
        self._num_threads = num_threads
        self._threads = None if self._source.is_cuda else _start_threads(num_threads)
        self._block_entries = self._block_size * self.num_target
        self._buffers = threading.local()
        self._potential: Tensor

    def _make_factors(self, target: Tensor) -> None:
        """Make the right factor, (D + 2, n), and the number of each source image that its left factor needs, (N,)."""
        centre = torch.zeros_like(target[0]) if self._is_cosine else target.mean(dim=0)
        self._centre = centre.to(self._dtype)
        squares, target_squares = self._source.new_empty(self.num_source, dtype=torch.float64), _squares(target, centre)
        for start in range(0, self.num_source, _ROWS_AT_ONCE):
            rows = slice(start, start + _ROWS_AT_ONCE)
            squares[rows] = _squares(self._source[rows].double(), centre)
        for side, values in (("source", squares), ("target", target_squares)):
            refuse_rows(~values.isfinite().cpu(), FINITE, side, what="image")
            if self._is_cosine:
                refuse_rows((values < _SMALLEST_SQUARE).cpu(), NOT_ZERO, side, what="image")
        if self._is_cosine:
            row_numbers, column_numbers = 1.0 / (squares**0.5 * self._scale), torch.zeros_like(target_squares)
            columns = (target / (target_squares**0.5)[:, None]).T
        else:
            row_numbers, column_numbers = (each / self._scale / self._scale for each in (squares, target_squares))
            columns = -2.0 * ((target - centre) / self._scale).T
        self._row_numbers = self._in_range(row_numbers)
        self._target_factor = self._in_range(
            torch.cat([columns, column_numbers[None], torch.ones_like(column_numbers)[None]])
        )

    def _in_range(self, values: Tensor) -> Tensor:
        rounded = values.to(self._dtype)
        if not rounded.isfinite().all():
            raise SelectionInputError(
                f"features / cost_scale must be within the range of {self.precision}, but are not; "
                "use a larger cost_scale"
            )
        return rounded

    def map_blocks(self, function: Callable[[slice], ResultT]) -> Iterator[ResultT]:
        """Call a function with the rows of each block; on a CPU, in the kernel's own threads.

        Yields what the function returned, in the order of the blocks, so that sums over blocks do not depend on the
        number of threads.
        """
        if self._threads is None:
            yield from map(function, self.blocks())
            return
        pending: deque[Future[ResultT]] = deque()
        for rows in self.blocks():
            pending.append(self._threads.submit(function, rows))
            if len(pending) > 2 * self._num_threads:  # results that wait to be taken cost memory
                yield pending.popleft().result()
        for future in pending:
            yield future.result()

    def blocks(self) -> Iterator[slice]:
        """Yield the rows of each block."""
        for start in range(0, self.num_source, self._block_size):
            yield slice(start, min(start + self._block_size, self.num_source))

    def set_column_potential(self, potential: Tensor) -> Tensor:
        """Set g, (n,) float64, for the next blocks; return it, float64, as rounded to the blocks' precision."""
        self._potential = potential.to(self._dtype)
        if self._is_cosine:
            self._target_factor[-2] = self._potential
        return self._potential.double()

    def exponents(self, rows: slice, row_offset: Tensor) -> tuple[Tensor, Tensor]:
        """Compute the block of these rows, with o = row_offset, (rows,) float64, subtracted from each row.

        Returns:
          The exponents, (rows, n), in a buffer of this thread, whose next block overwrites them; and the offsets that
          were subtracted, (rows,) float64: the given ones, rounded to the precision of the block.
        """
        if not hasattr(self._buffers, "block"):
            self._buffers.factor = self._source.new_empty(
                self._block_size, self._source.shape[1] + 2, dtype=self._dtype
            )
            self._buffers.block = self._source.new_empty(self._block_entries, dtype=self._dtype)
        num_rows = rows.stop - rows.start
        factor: Tensor = self._buffers.factor[:num_rows]
        block: Tensor = self._buffers.block[: num_rows * self.num_target].reshape(num_rows, self.num_target)
        offset = (row_offset - self.log_shift).to(self._dtype)
        factor[:, -2] = 1.0
        if self._is_cosine:
            torch.multiply(self._source[rows], self._row_numbers[rows, None], out=factor[:, :-2])
            factor[:, -1] = -offset
            torch.matmul(factor, self._target_factor, out=block)
        else:
            torch.subtract(self._source[rows], self._centre, out=factor[:, :-2])
            factor[:, :-2] *= 1.0 / self._scale
            factor[:, -1] = self._row_numbers[rows]
            torch.matmul(factor, self._target_factor, out=block)
            torch.subtract(self._potential, block.clamp_(min=0.0).sqrt_(), out=block)
            block -= offset[:, None]
        return block, offset.double() + self.log_shift

    def for_columns(self, columns: Tensor) -> "ImageKernel":
        """Return the kernel of the target images with these indices, with g = 0; both kernels share the buffers."""
        part = copy.copy(self)
        part._target_factor = self._target_factor[:, columns]
        part.num_target = part._target_factor.shape[1]
        part.set_column_potential(part.zeros(part.num_target))
        return part

    def zeros(self, length: int) -> Tensor:
        """Return float64 zeros, (length,), where the source features are."""
        return self._source.new_zeros(length, dtype=torch.float64)


def _start_threads(num_threads: int) -> ThreadPoolExecutor:
    """Start threads in which torch uses one core each, so that they do not compete for the cores."""
    barrier = threading.Barrier(num_threads)

    def compute_alone() -> None:
        torch.set_num_threads(1)
        torch.get_num_threads()
        barrier.wait()  # so that each thread gets one of these tasks

    # torch keeps the setting of a thread only after get_num_threads was called in it. Before, any thread changes it.
    before = torch.get_num_threads()
    threads = ThreadPoolExecutor(num_threads, thread_name_prefix="image-kernel")
    wait([threads.submit(compute_alone) for _ in range(num_threads)])
    torch.set_num_threads(before)
    return threads


def _as_matrix(features: Any, side: str) -> Tensor:
    """Return the features as a tensor, if possible without a copy; an error unless they are a floating-point matrix."""
    given = features.detach() if isinstance(features, Tensor) else np.asarray(features)
    check_features(given, side)
    if isinstance(given, np.ndarray):
        # torch has one byte order, nothing wider than float64, and no steps that go back or end within a number.
        itemsize = given.dtype.itemsize
        odd_steps = any(step < 0 or step % itemsize for step in given.strides)
        given = given.astype(f"=f{min(itemsize, 8)}", copy=odd_steps)
    with warnings.catch_warnings():
        # Features mapped from a file may be read-only; nothing here writes to them.
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.as_tensor(given)


def _squares(features: Tensor, centre: Tensor) -> Tensor:
    return ((features - centre) ** 2).sum(dim=1)
