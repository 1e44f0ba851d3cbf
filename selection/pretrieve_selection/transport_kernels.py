"""Two ways to sum the kernel exp(−C/ε) over a side: in logarithms, or by products where that is safe.

Both compute the same two sums, for potentials g, (K_target,), and f, (K_source,):

    log_row_sums(g)_i    = log Σ_j exp(−C_ij/ε + g_j)
    log_column_sums(f)_j = log Σ_i exp(−C_ij/ε + f_i)
"""

from typing import Generic

from pretrieve_selection.arrays import ArrayT, array_namespace

# Numbers below e^-230 ≈ 1e-100 are raised to it, and sums below 1e-60 are not trusted. So the raising changes a
# trusted sum of n terms by less than n · 1e-40 of it, and no product of two factors is a subnormal number, which
# would be slow.
_SMALLEST_EXPONENT = -230.0
_SMALLEST_TRUSTED_SUM = 1e-60


class LogKernel(Generic[ArrayT]):
    """Sum in the log domain, which works for any cost, with one exponential for each entry and sum.

    `log_kernel` is −C/ε: (K_source, K_target) float64, finite.
    """

    def __init__(self, log_kernel: ArrayT) -> None:
        self._log_kernel: ArrayT = log_kernel

    def log_row_sums(self, column_potential: ArrayT) -> ArrayT:
        return log_sum_exp(self._log_kernel + column_potential, axis=1)

    def log_column_sums(self, row_potential: ArrayT) -> ArrayT:
        return log_sum_exp(self._log_kernel + row_potential[:, None], axis=0)


class AbsorbedKernel(LogKernel[ArrayT]):
    """Sum by matrix-vector products with a kernel that has absorbed the potentials of an earlier iteration.

    It holds A_ij = exp(−C_ij/ε + ḡ_j − m_i), where m_i makes the largest entry of row i one. Products with A
    are exact to rounding as long as their results are trusted, that is, far above any underflow. Where a row's
    sum is not, the kernel absorbs the new potential; where a column's is not, it is computed in the log
    domain. So the answer is always that of `LogKernel`; only the time differs.
    """

    def __init__(self, log_kernel: ArrayT) -> None:
        super().__init__(log_kernel)  # type: ignore[arg-type]  # mypy loses a constrained TypeVar in super()
        xp = array_namespace(log_kernel)
        self._absorb(xp.zeros_like(log_kernel[0]))

    def log_row_sums(self, column_potential: ArrayT) -> ArrayT:
        xp = array_namespace(column_potential)
        sums, log_scale = self._row_products(column_potential)
        if not sums.min() >= _SMALLEST_TRUSTED_SUM:
            self._absorb(column_potential)
            sums, log_scale = self._row_products(column_potential)
        return self._row_offset + log_scale + xp.log(sums)  # type: ignore[no-any-return]

    def log_column_sums(self, row_potential: ArrayT) -> ArrayT:
        xp = array_namespace(row_potential)
        weights, log_scale = _scaled_exp(row_potential + self._row_offset)
        sums = weights @ self._absorbed
        log_sums = xp.log(sums) + log_scale - self._absorbed_potential
        if not sums.min() >= _SMALLEST_TRUSTED_SUM:
            lost = sums < _SMALLEST_TRUSTED_SUM
            log_sums[lost] = log_sum_exp(self._log_kernel[:, lost] + row_potential[:, None], axis=0)
        return log_sums  # type: ignore[no-any-return]

    def _row_products(self, column_potential: ArrayT) -> tuple[ArrayT, ArrayT]:
        weights, log_scale = _scaled_exp(column_potential - self._absorbed_potential)
        return self._absorbed @ weights, log_scale

    def _absorb(self, column_potential: ArrayT) -> None:
        xp = array_namespace(column_potential)
        exponents = self._log_kernel + column_potential
        largest = xp.amax(exponents, axis=1, keepdims=True)
        exponents -= largest
        self._absorbed: ArrayT = _exp_in_place(exponents)
        self._absorbed_potential: ArrayT = column_potential
        self._row_offset: ArrayT = largest[:, 0]


def log_sum_exp(exponents: ArrayT, *, axis: int) -> ArrayT:
    """Return log Σ exp(exponents) along an axis of a matrix, which is overwritten."""
    xp = array_namespace(exponents)
    largest = xp.amax(exponents, axis=axis, keepdims=True)
    exponents -= largest
    sums = xp.sum(_exp_in_place(exponents), axis=axis)
    return largest.squeeze(axis) + xp.log(sums)  # type: ignore[no-any-return]


def _scaled_exp(exponents: ArrayT) -> tuple[ArrayT, ArrayT]:
    largest = exponents.max()
    return _exp_in_place(exponents - largest), largest


def _exp_in_place(exponents: ArrayT) -> ArrayT:
    # Raising the smallest exponents first is for speed: exp is slow where its result underflows.
    xp = array_namespace(exponents)
    xp.clip(exponents, _SMALLEST_EXPONENT, None, out=exponents)
    return xp.exp(exponents, out=exponents)  # type: ignore[no-any-return]
