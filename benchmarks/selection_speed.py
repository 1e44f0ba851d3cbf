"""How fast the solvers are, each next to its yardstick in the same run.

    python benchmarks/selection_speed.py --class-means ../shared/data/class_means
    python benchmarks/selection_speed.py --device cuda --source 1280000 --target 12000

Single images: the time of the whole solve / that of as many products of the same blocks of features alone (goal ≤ 1.5),
and the peak memory beside the features (goal ≤ 300 MB). With --class-means, classes: our solver / POT's `sinkhorn` to
the same tolerance, where POT converges to the same masses (goal ≤ 1.0). Yardstick and solver take turns; the fastest of
each counts, and ratios are also taken turn by turn, where other load on the machine shows.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import threading
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import ot
import torch
from selection_accuracy import load_problems

from pretrieve_selection import (
    COSTS,
    ImageTransport,
    SelectionSettings,
    TransportPlan,
    solve_image_transport,
    solve_unbalanced_transport,
)
from pretrieve_selection.image_kernel import ImageKernel

CLASS_COSTS = (("cosine", 0.01), ("cosine", 0.1), ("cosine", 1.0), ("l2", 0.1), ("l2", 1.0))
NUM_TARGET_CLUSTERS = 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--class-means", type=Path, help="folder <backbone>/<dataset>.npz of centroids")
    parser.add_argument("--device", default="cpu", help="cpu (NumPy and torch) or cuda (torch)")
    parser.add_argument("--source", type=int, default=50_000, help="number of source images")
    parser.add_argument("--target", type=int, default=5_000, help="number of target images")
    parser.add_argument("--dimension", type=int, default=128)
    parser.add_argument("--cost-scale", type=float, nargs="+", default=[0.01], help="one or more")
    parser.add_argument("--turns", type=int, default=3)
    arguments = parser.parse_args()
    device = torch.cuda.get_device_name() if arguments.device == "cuda" else "cpu"
    print(f"device {device}, torch threads {torch.get_num_threads()}\n")
    compare_images(arguments)
    if arguments.class_means is not None:
        compare_classes(load_problems(arguments.class_means), arguments.turns)


def compare_images(arguments: argparse.Namespace) -> None:
    """Print a line for each kind of array and cost_scale."""
    arrays = clustered_features(arguments.source, arguments.target, arguments.dimension)
    print(f"single images: {arguments.source} × {arguments.target} × {arguments.dimension}, float32, cosine")
    as_tensor: Callable[[Any], Any] = lambda array: torch.from_numpy(array).to(arguments.device)  # noqa: E731
    kinds = {"torch": as_tensor} if arguments.device != "cpu" else {"numpy": np.asarray, "torch": as_tensor}
    for name, convert in kinds.items():
        source, target = convert(arrays[0]), convert(arrays[1])
        for cost_scale in arguments.cost_scale:
            settings = SelectionSettings(cost_scale=cost_scale)
            compare_on(name, source, target, settings, arguments.turns)


def compare_on(name: str, source: Any, target: Any, settings: SelectionSettings, turns: int) -> None:
    """Print the time and memory of one solve next to its products."""
    # Starts threads and loads kernels, but leaves no freed buffer behind that would hide the memory of the solve.
    solve_image_transport(source[:100], target[:100], settings=settings)
    on_gpu = name == "torch" and source.is_cuda
    pairs, peaks = [], []
    for _ in range(turns):
        with PeakMemory(on_gpu) as memory:
            solve_s, transport = timed(
                lambda: solve_image_transport(source, target, settings=settings, num_threads=torch.get_num_threads()),
                on_gpu,
            )
        peaks.append(memory.peak_bytes)
        block_size = next(ImageKernel(source, target, settings, block_size=None).blocks()).stop
        passes = transport.iterations + 1
        products_s, _ = timed(lambda: multiply_blocks(source, target, block_size, passes), on_gpu)  # noqa: B023
        pairs.append((solve_s, products_s))
    print_comparison(name, settings, transport, pairs, max(peaks))


def print_comparison(
    name: str,
    settings: SelectionSettings,
    transport: ImageTransport,
    pairs: list[tuple[float, float]],
    peak_bytes: int,
) -> None:
    """Print one line."""
    solve_s, products_s = (min(times) for times in zip(*pairs, strict=True))
    ratios = [solve / products for solve, products in pairs]
    turns = ", ".join(f"{ratio:.2f}" for ratio in ratios)
    print(
        f"  {name:5} cost_scale {settings.cost_scale:g}: {solve_s:.2f} s / {products_s:.2f} s = "
        f"{solve_s / products_s:.2f}, median of turns {statistics.median(ratios):.2f} ({turns}), "
        f"{transport.iterations} iterations, converged {transport.converged}, "
        f"peak {peak_bytes / 1e6:.0f} MB beside the features",
        flush=True,
    )


def multiply_blocks(source: Any, target: Any, block_size: int, passes: int) -> None:
    """Do the products of the costs' blocks, and nothing else."""
    xp: Any = np if isinstance(source, np.ndarray) else torch
    block = xp.empty((block_size, len(target)), dtype=source.dtype, **({} if xp is np else {"device": source.device}))
    factor = xp.empty(
        (target.shape[1], len(target)), dtype=source.dtype, **({} if xp is np else {"device": source.device})
    )
    factor[:] = target.T
    for _ in range(passes):
        for start in range(0, len(source), block_size):
            rows = source[start : start + block_size]
            xp.matmul(rows, factor, out=block[: len(rows)])


def timed(function: Callable[[], Any], on_gpu: bool) -> tuple[float, Any]:
    """Return the seconds that a call took, and its result."""
    if on_gpu:
        torch.cuda.synchronize()
    started = time.perf_counter()
    result = function()
    if on_gpu:
        torch.cuda.synchronize()
    return time.perf_counter() - started, result


class PeakMemory:
    """The most memory held within a `with` beyond what was held before: the GPU's, or the process's."""

    def __init__(self, on_gpu: bool) -> None:
        self._on_gpu = on_gpu
        self._ended = threading.Event()
        self.peak_bytes = 0

    def __enter__(self) -> PeakMemory:
        if self._on_gpu:
            torch.cuda.reset_peak_memory_stats()
        self._before = torch.cuda.memory_allocated() if self._on_gpu else resident_bytes()
        self._watcher = threading.Thread(target=self._watch)
        self._watcher.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._watcher.join()
        if self._on_gpu:
            self.peak_bytes = torch.cuda.max_memory_allocated() - self._before

    def _watch(self) -> None:
        while not self._on_gpu and not self._ended.wait(0.01):
            self.peak_bytes = max(self.peak_bytes, resident_bytes() - self._before)


def resident_bytes() -> int:
    """Return the resident memory of this process; 0 where the system does not tell."""
    statm = Path("/proc/self/statm")
    return int(statm.read_text().split()[1]) * 4096 if statm.exists() else 0


def clustered_features(num_source: int, num_target: int, dimension: int) -> tuple[Any, Any]:
    """Return features of 100 clusters for the source and of 20 of these for the target, float32."""
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((100, dimension), dtype=np.float32)
    source = rng.standard_normal((num_source, dimension), dtype=np.float32)
    source += centres[rng.integers(0, 100, num_source)]
    target = rng.standard_normal((num_target, dimension), dtype=np.float32)
    target += centres[rng.integers(0, NUM_TARGET_CLUSTERS, num_target)]
    return source, target


def compare_classes(problems: list[tuple[Any, Any]], turns: int) -> None:
    """Print the ratio to POT for each cost, over all problems where POT converges to our masses."""
    print(f"\nclasses: ours / POT sinkhorn, both to 1e-12, over {len(problems)} (backbone, target)")
    all_ratios = []
    for cost_name, cost_scale in CLASS_COSTS:
        ratios = []
        for problem in problems:
            ratio = class_ratio(COSTS[cost_name](*problem, cost_scale=cost_scale), turns)
            ratios += [] if ratio is None else [ratio]
        all_ratios += ratios
        if ratios:
            print(
                f"  {cost_name:6} cost_scale {cost_scale:<5g} median {statistics.median(ratios):.2f}, "
                f"{min(ratios):.2f} to {max(ratios):.2f}, {len(ratios)} converged"
            )
    if not all_ratios:
        sys.exit("POT converged on no problem")
    print(f"  all: median {statistics.median(all_ratios):.2f} of {len(all_ratios)} problems (goal ≤ 1.0)")


def class_ratio(cost: Any, turns: int) -> float | None:
    """Return our time / POT's, or None where POT did not converge to the same masses."""
    masses = [np.ones(length) for length in cost.shape]
    ours_s, pot_s = [], []
    for _ in range(2 * turns + 1):
        seconds, plan = timed(lambda: solve_unbalanced_transport(cost), on_gpu=False)
        ours_s.append(seconds)
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            seconds, pot_plan = timed(lambda: solve_with_pot(masses, cost), on_gpu=False)
        pot_s.append(seconds)
    return min(ours_s) / min(pot_s) if agree(plan, pot_plan) else None


def solve_with_pot(masses: list[Any], cost: Any) -> Any:
    """Solve eq. 5 with POT's `sinkhorn`."""
    return ot.unbalanced.sinkhorn_knopp_unbalanced(
        *masses, cost, 1.0, (1.0, 100.0), reg_type="entropy", stopThr=1e-12, numItermax=1000
    )


def agree(plan: TransportPlan[Any], pot_plan: Any) -> bool:
    """Return whether both found the same masses."""
    return bool(np.allclose(plan.source_marginal, pot_plan.sum(axis=1), rtol=1e-6, atol=1e-300))


if __name__ == "__main__":
    main()
