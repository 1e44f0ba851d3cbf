"""The result of unbalanced optimal transport."""

from dataclasses import dataclass
from typing import Generic

import numpy as np

from pretrieve_selection.arrays import ArrayT, array_namespace


@dataclass(frozen=True, eq=False)
class TransportPlan(Generic[ArrayT]):
    """What the iteration ended with; arrays are of the kind (NumPy or torch) and on the device of the cost.

    Attributes:
      log_source_marginal: (K_source,) float64, log P·1: the similarity that ranks the groups, finite even
        where P·1 underflows.
      log_target_marginal: (K_target,) float64, log Pᵀ·1.
      log_source_scaling: (K_source,) float64, log u.
      log_target_scaling: (K_target,) float64, log v.
      log_kernel: (K_source, K_target) float64, −C/ε.
      iterations: number of updates of both scalings.
      residual: bound on the error of log u, from its last change and the contraction of the iteration;
        rounding not counted.
      converged: whether the residual came below the tolerance or, where that is larger, below what the
        rounding of float64 leaves of so large a cost (at least nine digits of its largest entry).
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
    # A plan of very negative costs may leave float64 upwards; then infinity is the answer, not a warning.
    with np.errstate(over="ignore"):
        return array_namespace(exponents).exp(exponents)  # type: ignore[no-any-return]
