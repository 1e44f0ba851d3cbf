"""Whether the networks of torchvision and timm train as in plain torch, or are refused with a reason.

    python benchmarks/scan_networks.py
    python benchmarks/scan_networks.py --only resnet18 timm:gernet_s
    python benchmarks/scan_networks.py --rows build/scan

Tries every classifier of torchvision, and two networks of each module of timm, the smallest that can be built, with
random weights at the smallest image size that they take. Each network has a process of its own with a time limit. A
network that is accepted trains two steps in `fine_tune`; the weights must be those of two steps of plain torch on the
same views. Writes a table to docs/results/networks.md (with `--only`, to the terminal alone) and exits with 1 if a
process died, an error is not one of ours, or weights differ. The whole scan takes an hour on one CPU core; with
`--rows` each row is a file in that folder, and a scan that was ended goes on where it was.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
TABLE = ROOT / "docs" / "results" / "networks.md"

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

MAX_DRAWS = 4
"""Batches of noise that are tried until one is within the tolerance.

Batch norm over few pixels makes tenths of a switched ReLU, which not every batch has; wrong gradients are wrong for
every batch."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", metavar="NAME", help="networks as a study names them (default: the scan)")
    parser.add_argument("--seconds", type=float, default=300.0, help="time limit of a network (default: 300)")
    parser.add_argument("--table", type=Path, help=f"file for the table (default: {TABLE.relative_to(ROOT)})")
    parser.add_argument("--rows", type=Path, metavar="FOLDER", help="keep rows there, and read those that are there")
    arguments = parser.parse_args()
    rows = []
    for name in arguments.only or names(arguments.rows):
        rows.append(kept(arguments.rows, name, lambda name=name: in_a_process(name, arguments.seconds)))
        print(" | ".join(map(str, rows[-1].values())), flush=True)
    path = arguments.table or (None if arguments.only else TABLE)
    if path is not None:
        path.write_text(written(rows), encoding="utf-8")
    sys.exit(any(row["ended"] not in RIGHT for row in rows))


def kept(folder: Path | None, name: str, make: Callable[[], Any]) -> Any:
    """Return what a file of the folder holds; what is missing is made, and written there."""
    if folder is None:
        return make()
    path = folder / f"{name.replace(':', '.')}.json"
    if not path.exists():
        made = json.dumps(make())
        folder.mkdir(parents=True, exist_ok=True)
        path.write_text(made, encoding="utf-8")
    return json.loads(path.read_text(encoding="utf-8"))


def names(folder: Path | None) -> Iterable[str]:
    """List torchvision's classifiers, and two networks of each module of timm: those with the fewest weights."""
    import timm

    from pretrieve.backbones.torchvision_models import torchvision_names

    yield from torchvision_names()
    for module in timm.list_modules():
        smallest = kept(folder, f"module {module}", lambda module=module: smallest_of(module))
        yield from (f"timm:{name}" for name in smallest)


def smallest_of(module: str) -> list[str]:
    import timm
    import torch

    sizes = {}
    for name in timm.list_models(module=module):
        try:
            with torch.device("meta"):
                sizes[name] = sum(each.numel() for each in timm.create_model(name).parameters())
        except Exception:  # constructors that compute with tensors: such a network is taken if no other is left
            sizes[name] = int(MAX_PARAMETERS)
    return sorted(sizes, key=lambda each: (sizes[each], each))[:NUM_OF_MODULE]


def in_a_process(name: str, limit_s: float) -> dict[str, Any]:
    """Try a network in a process of its own, forked from this one, which has imported torch; a row of the table."""
    import torch
    import torchvision  # noqa: F401  # before the fork

    import pretrieve.training.loop  # noqa: F401

    torch.set_num_threads(1)
    started, context = time.perf_counter(), multiprocessing.get_context("fork")
    receives, sends = context.Pipe(duplex=False)
    process = context.Process(target=send_what_was_tried, args=(name, sends))
    process.start()
    sends.close()
    process.join(limit_s)
    elapsed_s = time.perf_counter() - started
    if process.is_alive():
        process.kill()
        process.join()
        return row(name, "too slow", f"not done after {limit_s:g} s", elapsed_s)
    if process.exitcode or not receives.poll():
        return row(name, "crash", f"killed by signal {-(process.exitcode or 0)}", elapsed_s)
    return row(name, *receives.recv(), elapsed_s)


def send_what_was_tried(name: str, sends: Connection) -> None:
    try:
        sends.send(tried(name))
    except Exception as error:  # the finding that this script looks for
        sends.send(("raw error", f"{type(error).__name__}: {error}"))


def row(name: str, ended: str, what: str, seconds: float) -> dict[str, Any]:
    return {"network": name, "ended": ended, "what": what, "seconds": round(seconds)}


def tried(name: str) -> tuple[str, str]:
    """Train a network two steps, in the process that calls; return how it ended, and its size or the reason."""
    from pretrieve.backbones import at_image_size, find_architecture
    from pretrieve.backbones.network_check import check_network
    from pretrieve.errors import BackboneError

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
        for seed in range(MAX_DRAWS):
            difference = difference_to_plain_torch(architecture, seed)
            what = f"{size} px, {order or 'channels-last'}, difference {difference:.1e}"
            if difference <= TOLERANCE:
                return "equal", what
        return "differs", what
    return "refused", refusal


def difference_to_plain_torch(architecture: Any, seed: int) -> float:
    """Return how far the weights are from those of plain torch after two steps, as a share of how far they came.

    Distances are L2 norms over all weights; `seed` decides the images.
    """
    import torch

    from pretrieve.training.loop import fine_tune

    def weights_after(train: Callable[[Any], None]) -> Any:
        work = work_on_noise(architecture, seed)  # the same each time; one network is in memory, and vectors of weights
        train(work)
        return torch.cat([each.detach().flatten() for each in work.network.parameters()])

    plain = weights_after(train_in_plain_torch)
    change = float((weights_after(lambda work: None) - plain).norm())
    return float((weights_after(fine_tune) - plain).norm()) / change


def work_on_noise(architecture: Any, seed: int) -> Any:
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
    pixels = np.random.default_rng(seed).integers(0, 256, (2 * BATCH_SIZE, size, size, 3), dtype=np.uint8)
    return FineTuning(
        network=network,
        objective=Finetune(),
        target=RepeatedImages(pixels, len(pixels), 3),
        source=None,
        preprocessing=architecture.preprocessing,
        settings=TrainingSettings(epochs=1, batch_size=BATCH_SIZE, decay_at=(), max_gradient_norm=GRADIENT_NORM),
        hyperparameters=Hyperparameters(lr=LR, head_lr_ratio=1.0, weight_decay=1e-4),
        seed=seed,
        device=torch.device("cpu"),
    )


def train_in_plain_torch(work: Any) -> None:
    """Train the network by a few lines of torch, in its own order of memory, on the same views."""
    import torch
    from torch import nn

    from pretrieve.artifacts.keys import derived_seed
    from pretrieve.training.step_inputs import EpochInputs

    network = work.network
    weights = [each for each in network.parameters() if each.requires_grad]
    optimizer = torch.optim.SGD(weights, lr=LR, momentum=0.9, nesterov=True, weight_decay=1e-4)
    network.train()
    inputs = iter(EpochInputs(work, 0))
    torch.manual_seed(derived_seed(work.seed, "layers", 0, 0))  # dropout draws as in the loop
    for [(batch, _)] in inputs:
        optimizer.zero_grad()
        nn.functional.cross_entropy(network(batch.images.contiguous()), batch.labels).backward()
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
