"""Whether the networks of torchvision and timm train as in plain torch, or are refused with a reason.

    python benchmarks/scan_networks.py
    python benchmarks/scan_networks.py --only resnet18 timm:gernet_s

Tries every classifier of torchvision, and two networks of each module of timm, the smallest that can be built, with
random weights at the smallest image size that they take. Each network has a process of its own with a time limit. A
network that is accepted trains two steps in `fine_tune`; the weights must be those of two steps of plain torch on the
same views. Writes a table to docs/results/networks.md (with `--only`, to the terminal alone) and exits with 1 if a
process died, an error is not one of ours, or weights differ. The whole scan takes hours on two CPU cores.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
TABLE = ROOT / "docs" / "results" / "networks.md"
TRIED = "tried: "
"""What begins the line of a result in the output of a network's process."""

SIZES = (64, 96, 128, 160, 224)
"""Image sizes that are tried, in pixels, before a network's own. Batch norm of smaller ones sees single pixels."""

NUM_OF_MODULE = 2
MAX_PARAMETERS = 400e6
BATCH_SIZE = 4
LR, GRADIENT_NORM = 0.01, 1.0
"""Steps of one length: fresh weights have gradients of any size. Shorter ones would change only last digits."""

RIGHT = ("equal", "refused")
TOLERANCE = 0.05
"""How far the weights may be off, as a share of their way: ReLUs that rounding switches make hundredths."""

NUDGES = (1 - 1e-5, 1 + 1e-6, 1 + 1e-5)
TIMES_ROUNDING = 4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", metavar="NAME", help="networks as a study names them (default: the scan)")
    parser.add_argument("--seconds", type=float, default=300.0, help="time limit of a network (default: 300)")
    parser.add_argument("--table", type=Path, help=f"file for the table (default: {TABLE.relative_to(ROOT)})")
    parser.add_argument("--network", help=argparse.SUPPRESS)  # in the process of one network
    arguments = parser.parse_args()
    if arguments.network:
        print(TRIED + json.dumps(tried(arguments.network)), flush=True)
        return
    rows = []
    for name in arguments.only or names():
        rows.append(in_a_process(name, arguments.seconds))
        print(" | ".join(map(str, rows[-1].values())), flush=True)
    path = arguments.table or (None if arguments.only else TABLE)
    if path is not None:
        path.write_text(written(rows), encoding="utf-8")
    sys.exit(any(row["ended"] not in RIGHT for row in rows))


def names() -> Iterable[str]:
    """List torchvision's classifiers, and two networks of each module of timm: those with the fewest weights."""
    import timm
    import torch

    from pretrieve.backbones.torchvision_models import torchvision_names

    yield from torchvision_names()
    for module in timm.list_modules():
        sizes = {}
        for name in timm.list_models(module=module):
            try:
                with torch.device("meta"):
                    sizes[name] = sum(each.numel() for each in timm.create_model(name).parameters())
            except Exception:  # constructors that compute with tensors: such a network is taken if no other is left
                sizes[name] = int(MAX_PARAMETERS)
        yield from (f"timm:{name}" for name in sorted(sizes, key=lambda each: (sizes[each], each))[:NUM_OF_MODULE])


def in_a_process(name: str, limit_s: float) -> dict[str, Any]:
    """Try a network in a process of its own; a row of the table."""
    command, started = [sys.executable, __file__, "--network", name], time.perf_counter()
    try:
        process = subprocess.run(command, capture_output=True, text=True, timeout=limit_s)
    except subprocess.TimeoutExpired:
        return row(name, "too slow", f"not done after {limit_s:g} s", limit_s)
    elapsed_s = time.perf_counter() - started
    lines = [line for line in process.stdout.splitlines() if line.startswith(TRIED)]
    if process.returncode < 0:
        return row(name, "crash", f"killed by signal {-process.returncode}", elapsed_s)
    if process.returncode or not lines:
        return row(name, "raw error", (process.stderr.strip().splitlines() or ["no output"])[-1], elapsed_s)
    return row(name, *json.loads(lines[-1].removeprefix(TRIED)), elapsed_s)


def row(name: str, ended: str, what: str, seconds: float) -> dict[str, Any]:
    return {"network": name, "ended": ended, "what": what, "seconds": round(seconds)}


def tried(name: str) -> tuple[str, str]:
    """Train a network two steps, in the process that calls; return how it ended, and its size or the reason."""
    import torch

    from pretrieve.backbones import at_image_size, find_architecture
    from pretrieve.backbones.network_check import check_network
    from pretrieve.errors import BackboneError

    torch.set_num_threads(1)
    refusal = "no image size was tried"
    try:
        own = find_architecture(name)
        own_size = own.preprocessing.image_size
    except BackboneError as refused:
        return "refused", str(refused)
    for size in [*(each for each in SIZES if each < own_size), own_size]:
        try:
            architecture = at_image_size(own, size, size)
            order = check_network(architecture)
        except BackboneError as refused:
            refusal = str(refused)
            continue
        difference, rounding = difference_to_plain_torch(architecture)
        what = f"{size} px, {order or 'channels-last'}, difference {difference:.1e} (by rounding {rounding:.1e})"
        return "equal" if difference <= max(TOLERANCE, TIMES_ROUNDING * rounding) else "differs", what
    return "refused", refusal


def difference_to_plain_torch(architecture: Any) -> tuple[float, float]:
    """Return how far the weights are from those of plain torch after two steps, as a share of how far they came.

    Distances are L2 norms over all weights. The second number is the same between two trainings in plain torch whose
    images differ in their last digits: batch norm over few pixels makes much of rounding.
    """
    import copy

    import torch

    from pretrieve.training.loop import fine_tune

    work = work_on_noise(architecture)
    before = dict(copy.deepcopy(work.network).named_parameters())
    plain, *nudged = (copy.deepcopy(work.network) for _ in (1.0, *NUDGES))
    fine_tune(work)
    for network, factor in zip((plain, *nudged), (1.0, *NUDGES), strict=True):
        train_in_plain_torch(work, network, factor)

    def distance(one: Any, other: Any) -> float:
        return float(torch.cat([(value - other[name]).detach().flatten() for name, value in one.items()]).norm())

    weights = dict(plain.named_parameters())
    change = distance(weights, before)
    ours, *rounded = (distance(weights, dict(each.named_parameters())) / change for each in (work.network, *nudged))
    return ours, max(rounded)


def work_on_noise(architecture: Any) -> Any:
    import numpy as np
    import torch

    from pretrieve.execution.measuring.speed import RepeatedImages
    from pretrieve.training.fine_tuning import FineTuning
    from pretrieve.training.network import TwoHeadNetwork
    from pretrieve.training.objectives.finetune import Finetune
    from pretrieve.training.settings import Hyperparameters, TrainingSettings

    torch.manual_seed(0)
    network = TwoHeadNetwork(
        architecture.build(),
        feature_dim=architecture.feature_dim,
        num_target_classes=3,
        num_source_classes=0,
        generator=torch.Generator().manual_seed(0),
    )
    size = architecture.preprocessing.resize_size
    pixels = np.random.default_rng(0).integers(0, 256, (2 * BATCH_SIZE, size, size, 3), dtype=np.uint8)
    return FineTuning(
        network=network,
        objective=Finetune(),
        target=RepeatedImages(pixels, len(pixels), 3),
        source=None,
        preprocessing=architecture.preprocessing,
        settings=TrainingSettings(epochs=1, batch_size=BATCH_SIZE, decay_at=(), max_gradient_norm=GRADIENT_NORM),
        hyperparameters=Hyperparameters(lr=LR, head_lr_ratio=1.0, weight_decay=1e-4),
        seed=0,
        device=torch.device("cpu"),
    )


def train_in_plain_torch(work: Any, network: Any, factor: float) -> None:
    """Train a copy of the network by a few lines of torch, in its own order of memory, on the same views."""
    import torch
    from torch import nn

    from pretrieve.artifacts.keys import derived_seed
    from pretrieve.training.step_inputs import EpochInputs

    weights = [each for each in network.parameters() if each.requires_grad]
    optimizer = torch.optim.SGD(weights, lr=LR, momentum=0.9, nesterov=True, weight_decay=1e-4)
    network.train()
    inputs = iter(EpochInputs(work, 0))
    torch.manual_seed(derived_seed(work.seed, "layers", 0, 0))  # dropout draws as in the loop
    for [(batch, _)] in inputs:
        optimizer.zero_grad()
        nn.functional.cross_entropy(network(factor * batch.images.contiguous()), batch.labels).backward()
        nn.utils.clip_grad_norm_(network.parameters(), GRADIENT_NORM)
        optimizer.step()


def written(rows: Sequence[dict[str, Any]]) -> str:
    """Write the table as Markdown."""
    import timm
    import torch
    import torchvision

    counts = ", ".join(f"{count} {ended}" for ended, count in Counter(row["ended"] for row in rows).most_common())
    lines = [
        "# Networks",
        "",
        f"`python benchmarks/scan_networks.py` with torch {torch.__version__}, torchvision {torchvision.__version__}, "
        f"timm {timm.__version__} on one CPU core: {len(rows)} networks, {counts}.",
        "",
        "*equal*: accepted, and two steps give the weights of plain torch. *refused*: with the reason. Anything else "
        "is a fault.",
        "",
        "| network | ended | image size, order of memory and difference, or reason | seconds |",
        "|---|---|---|---:|",
    ]
    for each in rows:
        what = str(each["what"]).replace("|", "\\|").replace("\n", " ")
        lines.append(f"| {each['network']} | {each['ended']} | {what} | {each['seconds']} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
