"""How exact the class-level solver is, and where those of POT fail, on the real class centroids.

    python benchmarks/selection_accuracy.py --class-means ../shared/data/class_means

For each cost and cost_scale, over both backbones and all targets: the largest error of log P·1 against the same
iteration in extended precision, and what POT's three solvers of the same problem return. POT is `ok` where its 100
largest masses are those of the reference, however exact they are.
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import ot
from numpy.typing import NDArray

from pretrieve_selection import COSTS, solve_unbalanced_transport

COST_SCALES = (1e-4, 1e-3, 1e-2, 0.1, 1.0, 10.0, 100.0)
POT_SOLVERS = {
    "sinkhorn": ot.unbalanced.sinkhorn_knopp_unbalanced,
    "stabilized": ot.unbalanced.sinkhorn_stabilized_unbalanced,
    "translation_inv": ot.unbalanced.sinkhorn_unbalanced_translation_invariant,
}
OUTCOMES = ("ok", "zero mass", "NaN", "wrong ranking", "error")
TOP_K = 100
Matrix = NDArray[np.float64]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--class-means", type=Path, required=True, help="folder <backbone>/<dataset>.npz of centroids")
    problems = load_problems(parser.parse_args().class_means)
    print(f"{len(problems)} problems (backbone, target) a row; POT: outcomes counted, ok if its top {TOP_K} is right\n")
    print(f"{'cost':7} {'scale':>7} {'ours: max error':>16} {'top':>5}  " + "".join(f"{n:36}" for n in POT_SOLVERS))
    totals: dict[str, Counter[str]] = {name: Counter() for name in POT_SOLVERS}
    largest, started = 0.0, time.perf_counter()
    for cost_name, cost_scale in [(name, scale) for name in sorted(COSTS) for scale in COST_SCALES]:
        costs = [COSTS[cost_name](*problem, cost_scale=cost_scale) for problem in problems]
        references = [reference_log_marginal(cost) for cost in costs]
        error, num_right = our_error(costs, references)
        largest = max(largest, error)
        counts = {name: count_outcomes(solver, costs, references) for name, solver in POT_SOLVERS.items()}
        for name, count in counts.items():
            totals[name] += count
        cells = "".join(f"{describe(count):36}" for count in counts.values())
        print(f"{cost_name:7} {cost_scale:>7g} {error:>16.1e} {num_right:>3}/{len(costs)}  {cells}", flush=True)
    print(f"\nours: largest error of log P·1 {largest:.1e} (goal: at most 1e-8), all converged")
    for name, total in totals.items():
        print(f"POT {name}: {describe(total)} of {total.total()}")
    print(f"{time.perf_counter() - started:.0f} s")
    sys.exit(largest > 1e-8)


def load_problems(folder: Path) -> list[tuple[Matrix, Matrix]]:
    """Return (source, target) centroids of each backbone and target in the folder."""
    problems = []
    for source in sorted(folder.glob("*/imagenet.npz")):
        for target in sorted(set(source.parent.glob("*.npz")) - {source}):
            with np.load(source) as source_arrays, np.load(target) as target_arrays:
                problems.append((source_arrays["means"], target_arrays["means"]))
    if not problems:
        sys.exit(f"there must be <backbone>/imagenet.npz and targets beside it in {folder}, but there are none")
    return problems


def reference_log_marginal(cost: Matrix, num_iterations: int = 62) -> Matrix:
    """Return log P·1 by the iteration of eq. 5 in extended precision; it contracts by 0.495 each time."""
    log_kernel = -cost.astype(np.longdouble)
    log_v = np.zeros(cost.shape[1], np.longdouble)
    for _ in range(num_iterations):
        log_u = -log_sum_exp(log_kernel + log_v, 1) / 2
        log_v = -log_sum_exp(log_kernel + log_u[:, None], 0) * np.longdouble(100) / 101
    return np.asarray(log_u + log_sum_exp(log_kernel + log_v, 1))


def log_sum_exp(exponents: NDArray[np.longdouble], axis: int) -> NDArray[np.longdouble]:
    """Return log Σ exp along an axis."""
    largest = exponents.max(axis=axis, keepdims=True)
    return np.asarray(np.squeeze(largest, axis) + np.log(np.exp(exponents - largest).sum(axis=axis)))


def our_error(costs: list[Matrix], references: list[Matrix]) -> tuple[float, int]:
    """Return the largest error of log P·1, and how many rankings of the top are right."""
    errors, num_right = [], 0
    for cost, reference in zip(costs, references, strict=True):
        plan = solve_unbalanced_transport(cost)
        if not plan.converged:
            sys.exit(f"our solver did not converge within {plan.iterations} iterations")
        errors.append(float(np.abs(plan.log_source_marginal - reference).max()))
        num_right += top(plan.log_source_marginal) == top(reference)
    return max(errors), num_right


def count_outcomes(solve: Callable[..., Matrix], costs: list[Matrix], references: list[Matrix]) -> Counter[str]:
    """Count what a solver of POT returns."""
    return Counter(outcome(solve, cost, reference) for cost, reference in zip(costs, references, strict=True))


def outcome(solve: Callable[..., Matrix], cost: Matrix, reference: Matrix) -> str:
    """Solve one problem and say what came of it."""
    masses = [np.ones(length) for length in cost.shape]
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            plan = solve(*masses, cost, 1.0, (1.0, 100.0), reg_type="entropy", stopThr=1e-10)
        except Exception as error:  # whatever a solver does wrong is its outcome
            print(f"  {type(error).__name__}: {error}", file=sys.stderr)
            return "error"
    marginal = plan.sum(axis=1)
    if not np.isfinite(marginal).all():
        return "NaN"
    if (marginal > 0).sum() < TOP_K:
        return "zero mass"
    return "ok" if top(marginal) == top(reference) else "wrong ranking"


def top(scores: Matrix) -> set[int]:
    """Return the groups of the largest scores; of equal ones, the first."""
    return set(np.argsort(-scores, kind="stable")[:TOP_K].tolist())


def describe(count: Counter[str]) -> str:
    """Return the outcomes that occurred, such as `6 ok, 2 NaN`."""
    return ", ".join(f"{count[name]} {name}" for name in OUTCOMES if count[name])


if __name__ == "__main__":
    main()
