"""Unbalanced optimal transport (eq. 5) by the generalised Sinkhorn iteration, for costs of any scale."""

import math
import sys
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar, get_args

import numpy as np
from numpy.typing import NDArray

from pretrieve_selection.errors import SelectionInputError
from pretrieve_selection.nearest_word import describe_choices
from pretrieve_selection.settings import TransportSettings

if TYPE_CHECKING:
    import torch

ArrayT = TypeVar("ArrayT", "NDArray[np.float64]", "torch.Tensor")
TransportMethod = Literal["auto", "log", "scaling"]

# The scalings never stop changing by a few units in the last place of the largest logarithm. This counts as converged,
# as long as nine digits are stable.
_ROUNDING = 8.0 * float(np.finfo(np.float64).eps)
_LARGEST_ROUNDING = 1e-9
_TINY = float(np.finfo(np.float64).tiny)

# Beyond this spread of C/ε nearly every iteration would absorb again: that saves no time and needs a second matrix.
_LARGEST_SPREAD_FOR_SCALING = 1e6

# Numbers below e^-230 ≈ 1e-100 are raised to it, and sums below 1e-60 are not trusted. So the raising changes a trusted
# sum of n terms by less than n · 1e-40 of it, and no product of two factors is a subnormal number, which would be slow.
_SMALLEST_EXPONENT = -230.0
_SMALLEST_TRUSTED_SUM = 1e-60


@dataclass(frozen=True, eq=False)
class TransportPlan(Generic[ArrayT]):
    """The result of the iteration; arrays are of the kind (NumPy or torch) and on the device of the cost.

    Attributes:
      log_source_marginal: (K_source,) float64, log P·1: the similarity that ranks the groups, finite even where P·1
        underflows.
      log_target_marginal: (K_target,) float64, log Pᵀ·1.
      log_source_scaling: (K_source,) float64, log u.
      log_target_scaling: (K_target,) float64, log v.
      log_kernel: (K_source, K_target) float64, −C/ε.
      iterations: number of updates of both scalings.
      residual: bound on the errors of log_source_marginal, log_target_marginal and log u, from the last change of log u
        and the contraction of the iteration; without rounding. Infinite after a single iteration, which bounds nothing.
      converged: whether the residual is at most the tolerance, or at most the rounding error of float64 at the scale of
        log u, log v and log K v where that is larger (at least nine digits of the largest of them are right). Rounding
        adds a few units in the last place of the largest to the marginals. To log u and log v it can add q/(1−q) times
        as much, in opposite directions: under very strong penalties, the plan is more exact than its scalings.
    """

    log_source_marginal: ArrayT
    log_target_marginal: ArrayT
    log_source_scaling: ArrayT
    log_target_scaling: ArrayT
    log_kernel: ArrayT
    iterations: int
    residual: float
    converged: bool

    @property
    def source_marginal(self) -> ArrayT:
        """P·1, (K_source,), ≥ 0; zero where the mass is too small for float64."""
        return _exp(self.log_source_marginal)

    @property
    def target_marginal(self) -> ArrayT:
        """Pᵀ·1, (K_target,), ≥ 0; zero where the mass is too small for float64."""
        return _exp(self.log_target_marginal)

    @property
    def plan(self) -> ArrayT:
        """P = diag(u) K diag(v), (K_source, K_target), ≥ 0; computed on each access."""
        return _exp(self.log_kernel + self.log_source_scaling[:, None] + self.log_target_scaling)


def _exp(exponents: ArrayT) -> ArrayT:
    # With very negative costs the plan may exceed float64: the result is then infinity, without a warning.
    with np.errstate(over="ignore"):
        return _array_namespace(exponents).exp(exponents)  # type: ignore[no-any-return]


def solve_unbalanced_transport(
    cost: ArrayT,
    *,
    source_mass: Any = None,
    target_mass: Any = None,
    settings: TransportSettings | None = None,
    method: TransportMethod = "auto",
) -> TransportPlan[ArrayT]:
    """Find the transport plan, whose mass shows which source groups are similar to the target (eq. 5).

    A weak source penalty lets unrelated groups lose their mass; a strong target penalty makes every target class
    receive mass. With K = exp(−C/ε), masses a and b, the iteration is

        u = (a / K v)^{τ₁/(τ₁+ε)},  v = (b / Kᵀ u)^{τ₂/(τ₂+ε)},  P = diag(u) K diag(v)

    computed on log u and log v. From the second iteration on, each log u is made from the one before, and the iteration
    contracts its largest error by q = τ₁/(τ₁+ε) · τ₂/(τ₂+ε). So the last change bounds what remains; see
    `error_per_change`.

    Args:
      cost: (K_source, K_target) array or tensor, finite, unitless; see `cosine_cost`. Converted to float64.
      source_mass: (K_source,), finite, > 0; ones where None. Totals of the two sides may differ.
      target_mass: (K_target,), finite, > 0; ones where None.
      settings: entropy_weight ε, source_penalty τ₁, target_penalty τ₂, tolerance, max_iterations; the paper's where
        None.
      method: "log" sums in the log domain; "scaling" multiplies with an absorbed kernel and uses the log domain only
        for sums that would underflow; "auto" takes the faster of the two for this cost. All give the same answer.

    Returns:
      TransportPlan: its `converged` is False where the iteration stopped early; this raises no error.

    Raises:
      SelectionInputError: a shape or range above does not hold.

    >>> plan = solve_unbalanced_transport(np.array([[1.0], [2001.0]]))
    >>> plan.source_marginal.round(3).tolist(), plan.converged
    ([0.99, 0.0], True)
    >>> plan.log_source_marginal.round(3).tolist()
    [-0.01, -1000.01]
    """
    settings = settings or TransportSettings()
    if method not in get_args(TransportMethod):
        choices = describe_choices(method, get_args(TransportMethod))
        raise SelectionInputError(f"method must be a known way to solve, but is {method!r}: {choices}")
    log_kernel = _make_log_kernel(_as_float64(cost, like=cost), settings.entropy_weight)
    log_source_mass = _log_mass(source_mass, log_kernel[:, 0], "source_mass")
    log_target_mass = _log_mass(target_mass, log_kernel[0], "target_mass")
    if method == "auto":
        spread = float(log_kernel.max() - log_kernel.min())
        method = "scaling" if spread <= _LARGEST_SPREAD_FOR_SCALING else "log"
    kernel: LogKernel[ArrayT] = AbsorbedKernel(log_kernel) if method == "scaling" else LogKernel(log_kernel)
    return _iterate(kernel, log_source_mass, log_target_mass, settings)


def _iterate(
    kernel: "LogKernel[ArrayT]", log_source_mass: ArrayT, log_target_mass: ArrayT, settings: TransportSettings
) -> TransportPlan[ArrayT]:
    source_power = 1.0 / (1.0 + settings.entropy_weight / settings.source_penalty)
    target_power = 1.0 / (1.0 + settings.entropy_weight / settings.target_penalty)
    bound_of_change = error_per_change(settings)
    rounding = min(_ROUNDING * bound_of_change, _LARGEST_ROUNDING)
    # The first log u is made from no other, so its change is infinite.
    log_source_scaling, log_target_scaling = log_source_mass + math.inf, 0.0 * log_target_mass
    iterations, residual, converged, magnitude = 0, math.inf, False, math.inf
    while iterations < settings.max_iterations and not converged:
        previous = log_source_scaling
        log_row_sums = kernel.log_row_sums(log_target_scaling)
        log_source_scaling = source_power * (log_source_mass - log_row_sums)
        log_column_sums = kernel.log_column_sums(log_source_scaling)
        log_target_scaling = target_power * (log_target_mass - log_column_sums)
        iterations += 1
        change = float(abs(log_source_scaling - previous).max())
        residual, magnitude = change * bound_of_change, magnitude + 4 * change
        converged = residual <= settings.tolerance
        if not converged and residual <= rounding * magnitude:
            # Costs are rounded as well, but one larger than all of these belongs to a pair without mass. No logarithm
            # changes more than log u does, so the sum that was computed last bounds it until it matters again.
            logarithms = (log_row_sums, log_source_scaling, log_target_scaling)
            magnitude = sum(float(abs(each).max()) for each in logarithms)
            converged = residual <= rounding * magnitude
    return TransportPlan(
        log_source_marginal=log_source_scaling + kernel.log_row_sums(log_target_scaling),
        log_target_marginal=log_target_scaling + log_column_sums,
        log_source_scaling=log_source_scaling,
        log_target_scaling=log_target_scaling,
        log_kernel=kernel.log_kernel,
        iterations=iterations,
        residual=residual,
        converged=converged,
    )


def error_per_change(settings: TransportSettings) -> float:
    """Return what to multiply the last change of log u by, to bound the errors of log u and of log P·1.

    The change must be that of an iteration after the first. With s = τ₁/(τ₁+ε), t = τ₂/(τ₂+ε) and q = s·t, the changes
    to come, d₁, d₂, …, are at most q, q², … times the last one. The error of log u is their sum, so at most q/(1−q)
    times the last change. As log K v = log a − (log u of the next iteration)/s, the error of log P·1 = log u + log K v
    is d₁ − (1/s − 1)(d₂ + d₃ + …), so at most 1 + t(1 − 2s) times as much.
    """
    source_power = 1.0 / (1.0 + settings.entropy_weight / settings.source_penalty)
    target_power = 1.0 / (1.0 + settings.entropy_weight / settings.target_penalty)
    # 1 − q is summed from its parts: computed by subtraction it would be zero for large penalties.
    source_part = 1.0 / (1.0 + settings.source_penalty / settings.entropy_weight)
    target_part = 1.0 / (1.0 + settings.target_penalty / settings.entropy_weight)
    gap = max(source_part + target_part - source_part * target_part, _TINY)
    return max(source_power * target_power, _TINY) / gap * max(1.0, 1.0 + target_power * (1.0 - 2.0 * source_power))


def _make_log_kernel(cost: ArrayT, entropy_weight: float) -> ArrayT:
    if cost.ndim != 2 or 0 in cost.shape:
        raise SelectionInputError(
            "cost must be a (K_source, K_target) matrix with at least one of each, but has shape "
            f"{tuple(cost.shape)}; give one row for each source group"
        )
    xp = _array_namespace(cost)
    with np.errstate(over="ignore"):
        log_kernel = cost / -entropy_weight
    if not xp.isfinite(log_kernel).all():
        _refuse_entries(~xp.isfinite(cost), "cost must be finite", "recompute the costs of this row")
        raise SelectionInputError(
            f"cost / entropy_weight must be finite, but the largest cost is {float(abs(cost).max())} and "
            f"entropy_weight is {entropy_weight}; use a larger entropy_weight or cost_scale"
        )
    return log_kernel


def _log_mass(mass: Any, like: ArrayT, name: str) -> ArrayT:
    xp = _array_namespace(like)
    if mass is None:
        return xp.zeros_like(like)  # type: ignore[no-any-return]
    values = _as_float64(mass, like=like)
    if values.shape != like.shape:
        raise SelectionInputError(
            f"{name} must have one entry for each of the {len(like)} groups, but has shape "
            f"{tuple(values.shape)}; give one mass for each, or none for unit masses"
        )
    _refuse_entries(
        ~(xp.isfinite(values) & (values > 0)), f"{name} must be finite and > 0", "leave groups without mass out"
    )
    return xp.log(values)  # type: ignore[no-any-return]


def _refuse_entries(wrong: Any, rule: str, remedy: str) -> None:
    count = int(wrong.sum())
    if count:
        row = int(wrong.reshape(len(wrong), -1).any(axis=1).tolist().index(True))
        entries = "1 entry is not" if count == 1 else f"{count} entries are not, the first"
        raise SelectionInputError(f"{rule}, but {entries} in row {row}; {remedy}")


class LogKernel(Generic[ArrayT]):
    """Sum the kernel exp(−C/ε) over a side in the log domain: for any cost, one exponential for each entry and sum.

    `log_kernel` is −C/ε, (K_source, K_target) float64, finite. For potentials g, (K_target,), and f, (K_source,):

        log_row_sums(g)_i    = log Σ_j exp(−C_ij/ε + g_j)
        log_column_sums(f)_j = log Σ_i exp(−C_ij/ε + f_i)
    """

    def __init__(self, log_kernel: ArrayT) -> None:
        self.log_kernel: ArrayT = log_kernel

    def log_row_sums(self, column_potential: ArrayT) -> ArrayT:
        return log_sum_exp(self.log_kernel + column_potential, axis=1)

    def log_column_sums(self, row_potential: ArrayT) -> ArrayT:
        return log_sum_exp(self.log_kernel + row_potential[:, None], axis=0)


class AbsorbedKernel(LogKernel[ArrayT]):
    """Sum by matrix-vector products with a kernel that has absorbed the potentials of an earlier iteration.

    It holds A_ij = exp(−C_ij/ε + ḡ_j − m_i), where m_i makes the largest entry of row i one. Products with A are exact
    to rounding as long as their results are trusted, that is, far above any underflow. Where a row's sum is not, the
    kernel absorbs the new potential; where a column's is not, it is computed in the log domain. So the answer is always
    that of `LogKernel`; only the time differs.
    """

    def __init__(self, log_kernel: ArrayT) -> None:
        super().__init__(log_kernel)  # type: ignore[arg-type]  # mypy loses a constrained TypeVar in super()
        xp = _array_namespace(log_kernel)
        self._absorb(xp.zeros_like(log_kernel[0]))

    def log_row_sums(self, column_potential: ArrayT) -> ArrayT:
        xp = _array_namespace(column_potential)
        sums, log_scale = self._row_products(column_potential)
        if not sums.min() >= _SMALLEST_TRUSTED_SUM:
            self._absorb(column_potential)
            sums, log_scale = self._row_products(column_potential)
        return self._row_offset + log_scale + xp.log(sums)  # type: ignore[no-any-return]

    def log_column_sums(self, row_potential: ArrayT) -> ArrayT:
        xp = _array_namespace(row_potential)
        weights, log_scale = _scaled_exp(row_potential + self._row_offset, axis=0)
        sums = weights @ self._absorbed
        log_sums = xp.log(sums) + log_scale - self._absorbed_potential
        if not sums.min() >= _SMALLEST_TRUSTED_SUM:
            lost = sums < _SMALLEST_TRUSTED_SUM
            log_sums[lost] = log_sum_exp(self.log_kernel[:, lost] + row_potential[:, None], axis=0)
        return log_sums  # type: ignore[no-any-return]

    def _row_products(self, column_potential: ArrayT) -> tuple[ArrayT, ArrayT]:
        weights, log_scale = _scaled_exp(column_potential - self._absorbed_potential, axis=0)
        return self._absorbed @ weights, log_scale

    def _absorb(self, column_potential: ArrayT) -> None:
        absorbed, largest = _scaled_exp(self.log_kernel + column_potential, axis=1)
        self._absorbed: ArrayT = absorbed
        self._absorbed_potential: ArrayT = column_potential
        self._row_offset: ArrayT = largest[:, 0]


def log_sum_exp(exponents: ArrayT, *, axis: int) -> ArrayT:
    """Return log Σ exp(exponents) along an axis of a matrix, which is overwritten."""
    xp = _array_namespace(exponents)
    terms, largest = _scaled_exp(exponents, axis=axis)
    return largest.squeeze(axis) + xp.log(xp.sum(terms, axis=axis))  # type: ignore[no-any-return]


def _scaled_exp(exponents: ArrayT, *, axis: int) -> tuple[ArrayT, ArrayT]:
    """Return exp(exponents − largest), in place, and the largest exponent along the axis, which keeps the length 1."""
    xp = _array_namespace(exponents)
    largest = xp.amax(exponents, axis=axis, keepdims=True)
    exponents -= largest
    # Raising the smallest exponents first is for speed: exp is slow where its result underflows. For short vectors
    # NumPy's `clip` would take longer than that.
    if isinstance(exponents, np.ndarray):
        np.maximum(exponents, _SMALLEST_EXPONENT, out=exponents)
    else:
        xp.clip(exponents, _SMALLEST_EXPONENT, None, out=exponents)
    return xp.exp(exponents, out=exponents), largest


def _array_namespace(array: Any) -> ModuleType:
    """Return the module, `numpy` or `torch`, whose functions work on this array.

    The functions used here have the same names and arguments in both. Importing torch is slow; a caller that passes a
    tensor has imported it already.
    """
    torch_module = sys.modules.get("torch")
    return torch_module if torch_module is not None and isinstance(array, torch_module.Tensor) else np


def _as_float64(array: Any, *, like: Any) -> Any:
    """Convert an array, a tensor or nested sequences to float64, of the kind and on the device of `like`."""
    xp = _array_namespace(like)
    if xp is np:
        return np.asarray(array, dtype=np.float64)
    values = (
        array if isinstance(array, xp.Tensor) else np.array(array, dtype=np.float64)
    )  # torch has one byte order only
    return xp.as_tensor(values, dtype=xp.float64, device=like.device).detach()
