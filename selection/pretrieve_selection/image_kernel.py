"""The exponents of the kernel between single images, one block of rows at a time."""

import copy
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from queue import SimpleQueue
from threading import Barrier
from typing import Any, NamedTuple, TypeVar

import numpy as np

from pretrieve_selection.arrays import Precision, array_namespace, as_float, as_float64, empty_array
from pretrieve_selection.errors import SelectionInputError
from pretrieve_selection.image_costs import make_image_cost
from pretrieve_selection.input_checks import check_same_dimension
from pretrieve_selection.settings import SelectionSettings

# Entries of a block. On a CPU it fits into the last cache, and a call from Python is cheap beside it. On a GPU it is
# large enough to keep the device busy.
_BLOCK_ENTRIES_CPU = 2**22
_BLOCK_ENTRIES_GPU = 2**26

ResultT = TypeVar("ResultT")


class Workspace(NamedTuple):
    """The buffers that the blocks of a thread are computed in, one after the other."""

    factor: Any
    """(block_size, D + 2)."""
    entries: Any
    """(block_size · n,)."""


class ImageKernel:
    """Compute −C_ij/ε + g_j − o_i for blocks of source images, into buffers that the blocks reuse.

    Besides the features, memory holds vectors of N numbers, two copies of the target, and for each thread two
    buffers of `block_size` rows.

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
      SelectionInputError: a side is not a matrix of floating-point numbers, is empty, not finite or, for the
        cosine, has a zero row; the dimensions differ; block_size is not ≥ 1.
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
        self._cost = make_image_cost(self._source, target, settings, self.precision)
        self.log_shift = self._cost.log_shift
        self._target_factor = self._cost.target_factor
        self._num_threads = num_threads
        self._threads = None if on_gpu else _start_threads(num_threads)
        self._workspaces: SimpleQueue[Workspace] = SimpleQueue()
        shapes = (self._block_size, dimension + 2), (self._block_size * self.num_target,)
        for _ in range(num_threads):
            buffers = [empty_array(shape, like=self._source, precision=self.precision) for shape in shapes]
            self._workspaces.put(Workspace(*buffers))
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
        factor = workspace.factor[:num_rows]
        block = workspace.entries[: num_rows * num_columns].reshape(num_rows, num_columns)
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
