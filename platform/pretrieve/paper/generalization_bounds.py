"""The bounds on excess risk of Lemma 2 and Theorem 2 (appendix B), as functions to plot and to compare.

Units: the risk F is in nats (a mean cross-entropy) and θ in its own unit p, so a gradient is in nats/p. Every bound is
in nats and bounds E[F(θ) − F(θ*)].

The paper leaves two conditions out. The last step of both proofs needs log(…) ≥ 1, which is stronger than the η > 0
that is checked here: with the logarithm between 0 and 1 the printed bounds are smaller than what was proved. And
Theorem 2 holds for source batches of m̃ ≥ 2σ²/δ² images (printed as 2σ²/δ).
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass, fields

from pretrieve.errors import BoundError


@dataclass(frozen=True)
class ProblemConstants:
    """The constants of Assumptions 1 to 4 for a target, all finite and > 0, which a BoundError enforces.

    Attributes:
      num_images: n, training images of the target; SGD sees each once.
      smoothness: L, Lipschitz constant of ∇F, nats/p².
      pl_constant: μ of the Polyak-Łojasiewicz condition, nats/p²; at most L.
      gradient_variance: σ², variance of the stochastic gradient of one image, nats²/p².
      pretraining_gap: Δ, bound on ‖∇F − ∇G‖ between target and pre-training risk, nats/p.
    """

    num_images: int
    smoothness: float
    pl_constant: float
    gradient_variance: float
    pretraining_gap: float

    def __post_init__(self) -> None:
        for field in fields(self):
            _check_positive(field.name, getattr(self, field.name))
        if self.pl_constant > self.smoothness:
            raise BoundError(
                f"pl_constant must not exceed smoothness, but is {self.pl_constant:g} > {self.smoothness:g}: "
                "no function is both; lower pl_constant or raise smoothness"
            )

    @property
    def largest_logarithm(self) -> float:
        """nμ/(2L): the learning rate η = 2/(nμ) · log(…) is at most 1/L up to this logarithm."""
        return self.num_images * self.pl_constant / (2 * self.smoothness)

    @property
    def gap_over_noise(self) -> float:
        """nμΔ²/(2Lσ²), the argument of Lemma 2's logarithm: a number without unit."""
        return self.largest_logarithm * self.pretraining_gap**2 / self.gradient_variance


def pretrained_bound(gradient_gap_to_pretraining: float, pl_constant: float) -> float:
    """Bound the excess risk of the pre-trained model before any fine-tuning: Δ²/μ (Lemma 2 (1)).

    It holds for pre-training at η = min(1, Δ²/(2σ²))/L, until converged.

    Δ, in nats/p, and μ, in nats/p², must be finite and > 0; a BoundError is raised where they are not.

    >>> pretrained_bound(2.0, 0.5)
    8.0
    """
    _check_positive("gradient_gap_to_pretraining", gradient_gap_to_pretraining)
    _check_positive("pl_constant", pl_constant)
    return gradient_gap_to_pretraining**2 / pl_constant


def fine_tuned_bound(constants: ProblemConstants) -> float:
    """Bound the excess risk after plain fine-tuning: 4Lσ²/(nμ²) · log(nμΔ²/(2Lσ²)) (Lemma 2 (2)).

    Raises:
      BoundError: the learning rate η = 2/(nμ) · log(nμΔ²/(2Lσ²)) is not in (0, 1/L].

    >>> constants = ProblemConstants(1000, smoothness=1, pl_constant=0.1, gradient_variance=1, pretraining_gap=1)
    >>> round(fine_tuned_bound(constants), 4)
    1.5648
    """
    return reuse_bound(constants, target_share=1.0, delta_squared=0.0)


def reuse_bound(constants: ProblemConstants, *, target_share: float, delta_squared: float) -> float:
    """Bound the excess risk after fine-tuning on target and source together (Theorem 2, eq. 9).

    4αLσ²/(nμ²) · log(nμΔ²/(2αLσ²)) + 2(1 − α)δ²/μ. At α = 1 it is `fine_tuned_bound`.

    Args:
      constants: those of the target.
      target_share: α in (0, 1], the target's weight in eq. 3; λ of eq. 6 is (1 − α)/α.
      delta_squared: δ² ≥ 0, nats²/p², the largest over the run; see `gradient_gap`.

    Raises:
      BoundError: a range above does not hold, or the learning rate η = 2/(nμ) · log(nμΔ²/(2αLσ²)) is not in (0, 1/L].

    >>> constants = ProblemConstants(1000, smoothness=1, pl_constant=0.1, gradient_variance=1, pretraining_gap=1)
    >>> round(reuse_bound(constants, target_share=0.5, delta_squared=0.01), 4)
    1.021
    """
    if not 0 < target_share <= 1:
        raise BoundError(f"target_share must lie in (0, 1], but is {target_share:g}; 1 is plain fine-tuning")
    if not (math.isfinite(delta_squared) and delta_squared >= 0):
        raise BoundError(f"delta_squared must be finite and ≥ 0, but is {delta_squared:g}; it is a squared norm")
    logarithm = math.log(constants.gap_over_noise) - math.log(target_share)
    rate = 2 / (constants.num_images * constants.pl_constant) * logarithm
    if rate <= 0:
        raise BoundError(
            f"the learning rate of the bound must be > 0, but is {rate:g}: nμΔ²/(2αLσ²) = {math.exp(logarithm):g} must "
            "exceed 1; with so small a pretraining_gap only a larger num_images or a smaller target_share is covered"
        )
    # The logarithm is compared, with a tolerance for rounding, so that the result of best_target_share is allowed.
    if logarithm > constants.largest_logarithm * (1 + 1e-12) + 1e-12:
        raise BoundError(
            f"the learning rate of the bound must not exceed 1/L = {1 / constants.smoothness:g}, but is {rate:g}; "
            "raise num_images or target_share"
        )
    noise = 4 * constants.smoothness * constants.gradient_variance / (constants.num_images * constants.pl_constant**2)
    return target_share * noise * logarithm + 2 * (1 - target_share) * delta_squared / constants.pl_constant


def best_target_share(constants: ProblemConstants, *, delta_squared: float) -> float:
    """Return the α in (0, 1] that minimises eq. 9 among those whose learning rate is allowed; δ² ≥ 0 is in nats²/p².

    η ≤ 1/L allows α from α_min = nμΔ²/(2Lσ²) · exp(−nμ/(2L)) up to 1. On that interval eq. 9 is concave in α (its
    second derivative is −4Lσ²/(nμ²α)), so the minimum is at an end: at α_min (but at least the smallest positive
    number) where the source's gradients are close enough, or else at 1, which is plain fine-tuning.

    Raises:
      BoundError: δ² is out of range, or plain fine-tuning's own learning rate is not in (0, 1/L].

    >>> constants = ProblemConstants(100, smoothness=1, pl_constant=0.1, gradient_variance=1, pretraining_gap=1)
    >>> round(best_target_share(constants, delta_squared=0.01), 4), best_target_share(constants, delta_squared=9.0)
    (0.0337, 1.0)
    """
    plain = reuse_bound(constants, target_share=1.0, delta_squared=delta_squared)
    # With many images the exponential underflows, and 0 is no allowed α.
    smallest = min(1.0, max(constants.gap_over_noise * math.exp(-constants.largest_logarithm), sys.float_info.min))
    is_source_close = reuse_bound(constants, target_share=smallest, delta_squared=delta_squared) < plain
    return smallest if is_source_close else 1.0


def _check_positive(name: str, value: float) -> None:
    if not (math.isfinite(value) and value > 0):
        raise BoundError(f"{name} must be finite and > 0, but is {value:g}; give a positive constant")
