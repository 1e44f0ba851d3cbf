"""The exponents of the kernel between single images, one block of rows at a time."""

import copy
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from queue import SimpleQueue
from threading import Barrier
from typing import Any, TypeVar

import numpy as np

from pretrieve_selection.arrays import Precision, array_namespace, as_float, as_float64, empty_array
from pretrieve_selection.errors import SelectionInputError
from pretrieve_selection.input_checks import check_same_dimension, refuse_infinite_rows, refuse_zero_rows
from pretrieve_selection.settings import SelectionSettings

# Entries of a block. On a CPU it fits into the last cache, and a call from Python is cheap beside it. On a GPU it is
# large enough to keep the device busy.
_BLOCK_ENTRIES_CPU = 2**22
_BLOCK_ENTRIES_GPU = 2**26

# A shorter feature vector has no direction left in float32. The square of its length is compared.
_SMALLEST_SQUARE = 1e-60
_ROWS_AT_ONCE = 8192

ResultT = TypeVar("ResultT")
Workspace = tuple[Any, Any]
"""The buffers of a thread: the left factor, (block_size, D + 2), and the entries of a block, (block_size · n,)."""


class ImageKernel:
    """Compute −C_ij/ε + g_j − o_i for blocks of source images, into buffers that the blocks reuse.

    Besides the features, memory holds vectors of N numbers, two copies of the target, and for each thread two buffers
    of `block_size` rows.

    Args:
      source: (N, D) features, floating point. Blocks are float64 where the source is, else float32.
      target: (n, D) features.
      settings: cost, cost_scale, entropy_weight.
      block_size: source images in a block, ≥ 1; chosen to suit the device where None.
      num_threads: blocks computed at the same time, ≥ 1.

    Attributes:
      precision: the precision of the blocks; `eps` is the distance from 1 to the next number in it.
      log_shift: the part of −C_ij/ε that is the same for all pairs.
      num_source: N; `num_target` is n.

    Raises:
      SelectionInputError: a side is not a matrix of floating-point numbers, is empty, not finite or, for the cosine,
        has a zero row; the dimensions differ; block_size is not ≥ 1.
    """

    def __init__(
        self, source: Any, target: Any, settings: SelectionSettings, *, block_size: int | None, num_threads: int = 1
    ) -> None:
        self._source = _checked_features(source, "source")
        target = as_float64(_checked_features(target, "target"), like=self._source)
        check_same_dimension(self._source, target)
        xp = array_namespace(self._source)
        self.precision: Precision = "float64" if self._source.dtype == xp.float64 else "float32"
        self.eps = float(xp.finfo(getattr(xp, self.precision)).eps)
        self.num_source, dimension = self._source.shape
        self.num_target = len(target)
        on_gpu = getattr(self._source, "is_cuda", False)
        if block_size is None:
            entries = _BLOCK_ENTRIES_GPU if on_gpu else _BLOCK_ENTRIES_CPU
            block_size = max(1, entries // (self.num_target + dimension))
        if block_size < 1:
            raise SelectionInputError(
                f"block_size must be at least 1, but is {block_size}; leave it out to have it chosen"
            )
        self._block_size = min(block_size, int(self.num_source))
        make_cost = CosineImageCost if settings.cost == "cosine" else EuclideanImageCost
        scale = settings.cost_scale * settings.entropy_weight
        self._cost: ImageCost = make_cost(self._source, target, scale, self.precision)
        self.log_shift = self._cost.log_shift
        self._target_factor = self._cost.target_factor
        self._num_threads = num_threads
        self._threads = None if on_gpu else _start_threads(num_threads)
        self._workspaces: SimpleQueue[Workspace] = SimpleQueue()
        for _ in range(num_threads):
            factor = self._empty(self._block_size, dimension + 2)
            self._workspaces.put((factor, self._empty(self._block_size * self.num_target)))
        self._potential: Any = None

    def map_blocks(self, function: Callable[[slice, Workspace], ResultT]) -> Iterator[tuple[slice, ResultT]]:
        """Call a function for each block; on a CPU, in the kernel's own threads.

        Yields:
          The rows of each block and what the function returned, always in the order of the blocks, so that
          sums over blocks do not depend on the number of threads.
        """
        if self._threads is None:
            for rows in self.blocks():
                yield rows, self._in_workspace(function, rows)
            return
        pending: deque[tuple[slice, Future[ResultT]]] = deque()
        for rows in self.blocks():
            pending.append((rows, self._threads.submit(self._in_workspace, function, rows)))
            if len(pending) > 2 * self._num_threads:  # results that wait to be taken cost memory
                rows, result = pending.popleft()
                yield rows, result.result()
        for rows, result in pending:
            yield rows, result.result()

    def _in_workspace(self, function: Callable[[slice, Workspace], ResultT], rows: slice) -> ResultT:
        workspace = self._workspaces.get()
        try:
            return function(rows, workspace)
        finally:
            self._workspaces.put(workspace)

    def blocks(self) -> Iterator[slice]:
        """Yield the rows of each block."""
        for start in range(0, self.num_source, self._block_size):
            yield slice(start, min(start + self._block_size, self.num_source))

    def set_column_potential(self, potential: Any) -> Any:
        """Set g, (n,) float64, for the next blocks; return it, float64, as rounded to the blocks' precision."""
        self._potential = self._rounded(potential)
        self._cost.set_column_potential(self._target_factor, self._potential)
        return as_float64(self._potential, like=self._source)

    def exponents(self, rows: slice, row_offset: Any, workspace: Workspace) -> tuple[Any, Any]:
        """Compute the block of these rows, with o = row_offset, (rows,) float64, subtracted from each row.

        Returns:
          The exponents, (rows, n), in the workspace, whose next block overwrites them; and the offsets that
          were subtracted, (rows,) float64: the given ones, rounded to the precision of the block.
        """
        import torch

        num_rows, num_columns = rows.stop - rows.start, self.num_target
        factor = workspace[0][:num_rows]
        block = workspace[1][: num_rows * num_columns].reshape(num_rows, num_columns)
        offset = self._rounded(row_offset - self.log_shift)
        self._cost.fill_rows(factor, self._source[rows], self._cost.row_constant[rows], offset)
        # torch's product is used for arrays too: it is the faster one in a thread that uses one core.
        torch.matmul(torch.as_tensor(factor), torch.as_tensor(self._target_factor), out=torch.as_tensor(block))
        self._cost.finish(block, self._potential, offset)
        return block, as_float64(offset, like=self._source) + self.log_shift

    def for_columns(self, columns: Any) -> "ImageKernel":
        """Return the kernel of the target images with these indices, with g = 0; both kernels share the buffers."""
        part = copy.copy(self)
        part._target_factor = self._target_factor[:, columns]
        part.num_target = part._target_factor.shape[1]
        part.set_column_potential(part.zeros(part.num_target))
        return part

    def zeros(self, length: int) -> Any:
        """Return float64 zeros, (length,), where the source features are."""
        vector = empty_array((length,), like=self._source, precision="float64")
        vector[:] = 0.0
        return vector

    def _empty(self, *shape: int) -> Any:
        return empty_array(shape, like=self._source, precision=self.precision)

    def _rounded(self, values: Any) -> Any:
        return as_float(values, like=self._source, precision=self.precision)


def _start_threads(num_threads: int) -> ThreadPoolExecutor:
    """Start threads in which torch uses one core each, so that they do not compete for the cores."""
    import torch

    barrier = Barrier(num_threads)

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


def _checked_features(features: Any, side: str) -> Any:
    xp = array_namespace(features)
    matrix: Any = np.asarray(features) if xp is np else features.detach()
    is_float = matrix.dtype.kind == "f" if xp is np else matrix.is_floating_point()
    if matrix.ndim != 2 or 0 in matrix.shape or not is_float:
        raise SelectionInputError(
            "features must be a floating-point (images, dimensions) matrix with at least one of each, but those "
            f"of the {side} are {matrix.dtype} of shape {tuple(matrix.shape)}; give one row for each image"
        )
    return matrix


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

    s is cost_scale · ε. Features are centred on the mean of the target first. The expansion of the square still loses
    digits where two images are much closer to each other than to that mean: a distance d is exact to about 2⁻²⁴ (‖x‖² +
    ‖y‖²)/d in float32. g and o are added after the square root.
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
