"""Whether verdicts keep what they say on photographs: two rows `random`, and the probe against class means.

    python benchmarks/real_studies.py --photos ../shared/data/photos --results real-studies
    python benchmarks/real_studies.py --photos … --results real-studies --draws 200 --per-class 100 --minutes 20
    python benchmarks/real_studies.py --results real-studies --show

The target are 20 classes of the 32-pixel source, the reusable source the other 180. EfficientNet-Lite0 gives the
features of every picture once, enlarged to 64 pixels; half of a class's pictures are the pool of labelled images, the
other half the test images of that kind. A draw labels a few images of each class anew and gives the predictions of four
rows on all test images:

- `linear_probe` and `class_means`, fitted by the product's own functions;
- two rows `random`: a hidden layer on the features, learned with eq. 6 on the labelled images and on the groups that
  the product's random selector takes for each row from a seed of its own. First weights and batches are the same.

A study is R draws that no other study has, and a sample of the test images; the product's own statistics judge it. The
truth of the first contrast is its mean over all draws and all test images; that of the second is zero, as the rows
differ in nothing but their luck. Running 200 whole studies on Ray instead would take days, and would test the same
statistics. Draws are written in small files of 50 as soon as they are done, and are not made again.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from pretrieve.artifacts.keys import derived_seed
from pretrieve.backbones import find_architecture, parts_of_checkpoint
from pretrieve.backbones.state_dicts import load_weights
from pretrieve.statistics import (
    LOOKS,
    Contrast,
    Estimate,
    contributions,
    estimate,
    paired_difference,
    top1_images,
    verdicts,
)
from pretrieve.training.augmentation.views import evaluation_view, to_unit_range
from pretrieve.training.linear_heads import class_means, logistic_regression
from pretrieve_selection import SelectionSettings
from pretrieve_selection.selectors.uniform_random import RandomSelector

NUM_CLASSES, NUM_GROUPS = 20, 20
PIECE = 50
L2 = 10.0
STEPS, BATCH, RATE, HIDDEN, SOURCE_WEIGHT = 60, 32, 0.05, 64, 0.3
ROWS = ("linear_probe", "class_means", "random", "random again")

Bits = NDArray[np.bool_]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, help="the folder of the photographs, with photos.py")
    parser.add_argument("--results", type=Path, required=True, help="folder of the features and the draws")
    parser.add_argument("--draws", type=int, default=2000, help="draws in all; the truth is their mean")
    parser.add_argument("--labelled", type=int, default=8, help="labelled images a class in a draw")
    parser.add_argument("--per-class", type=int, default=250, help="images of each target class, half of them to test")
    parser.add_argument("--tested", type=int, default=400, help="test images of a study")
    parser.add_argument("--minutes", type=float, help="begin no further piece after this")
    parser.add_argument("--show", action="store_true", help="print the table of the draws that are there")
    arguments = parser.parse_args()
    arguments.results.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    if not arguments.show:
        make_draws(arguments)
    print("\n".join(table(arguments.results, arguments.tested)))


def make_draws(arguments: argparse.Namespace) -> None:
    target, labels, source, groups = features_of(arguments)
    ends = time.monotonic() + 60 * (arguments.minutes or float("inf"))
    for start in range(0, arguments.draws, PIECE):
        path = arguments.results / f"draws-{start:05d}.npz"
        if path.exists():
            continue
        if time.monotonic() > ends:
            print(f"{arguments.draws - start} draws are left for another run", file=sys.stderr)
            return
        numbers = range(start, min(start + PIECE, arguments.draws))
        right = np.stack([draw(number, arguments.labelled, (target, labels), (source, groups)) for number in numbers])
        temporary = path.with_suffix(".tmp.npz")
        np.savez_compressed(temporary, right=np.packbits(right, axis=-1), num_images=right.shape[-1])
        temporary.rename(path)


Images = tuple[torch.Tensor, torch.Tensor]


def draw(number: int, num_labelled: int, target: Images, source: Images) -> Bits:
    """Return which test images each row of ROWS has right in one draw, (4, test images)."""
    features, labels = target
    is_pool = torch.arange(len(labels)) % 2 == 0  # the images of a class follow each other
    rng = np.random.default_rng(derived_seed(number, "labelled"))
    pool = [np.flatnonzero(((labels == each) & is_pool).numpy()) for each in range(NUM_CLASSES)]
    drawn = torch.from_numpy(np.concatenate([rng.choice(each, num_labelled, replace=False) for each in pool]))
    train = features[drawn], labels[drawn]
    tested, truth = features[~is_pool], labels[~is_pool]
    heads = [
        logistic_regression(*train, num_classes=NUM_CLASSES, l2=L2),
        class_means(*train, num_classes=NUM_CLASSES),
    ]
    outputs = [tested @ head.weight.T + head.bias for head in heads]
    outputs += [reused(number, row, train, source)(tested) for row in ROWS[2:]]
    return np.stack([(output.argmax(1) == truth).numpy() for output in outputs])


def reused(number: int, row: str, train: Images, source: Images) -> nn.Module:
    """Learn the target's images with those of random groups of the source (eq. 6); return the target's classifier."""
    features, groups = source
    num_groups = int(groups.max()) + 1
    chosen = RandomSelector().select(
        np.zeros((num_groups, 1)),
        np.zeros((1, 1)),
        top_k=NUM_GROUPS,
        settings=SelectionSettings(),
        rng=np.random.default_rng(derived_seed(number, "selector", row)),
    )
    kept = torch.isin(groups, torch.from_numpy(np.array(chosen.groups, dtype=np.int64)))
    features, groups = features[kept], groups[kept]
    generator = torch.Generator().manual_seed(derived_seed(number, "training") % 2**31)
    torch.manual_seed(derived_seed(number, "weights") % 2**31)
    trunk = nn.Sequential(nn.Linear(features.shape[1], HIDDEN), nn.ReLU())
    own, other = nn.Linear(HIDDEN, NUM_CLASSES), nn.Linear(HIDDEN, num_groups)
    parameters = [*trunk.parameters(), *own.parameters(), *other.parameters()]
    optimizer = torch.optim.SGD(parameters, lr=RATE, momentum=0.9, nesterov=True)
    for _ in range(STEPS):
        batch = torch.randint(len(train[1]), (BATCH,), generator=generator)
        reuse = (torch.rand(BATCH, generator=generator) * len(groups)).long()
        hidden = trunk(torch.cat([train[0][batch], features[reuse]]))
        loss = nn.functional.cross_entropy(own(hidden[:BATCH]), train[1][batch])
        loss = loss + SOURCE_WEIGHT * nn.functional.cross_entropy(other(hidden[BATCH:]), groups[reuse])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return nn.Sequential(trunk, own).requires_grad_(False)


def features_of(arguments: argparse.Namespace) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return features and labels of the target's images, and of the source's; read where an earlier run left them."""
    path = arguments.results / "features.npz"
    if not path.exists():
        if arguments.photos is None:
            raise SystemExit("--photos must name the folder of the photographs where --results has no features.npz")
        sys.path.insert(0, str(arguments.photos))
        import photos

        loaded = photos.load(arguments.photos / "px32" / "source_tinyimagenet200.npz")
        train = loaded["split"] == 0
        images, labels = loaded["images"][train], loaded["labels"][train]
        parts = {}
        for name, classes, size in (
            ("target", range(NUM_CLASSES), arguments.per_class),
            ("source", range(NUM_CLASSES, 200), 20),
        ):
            rows = np.concatenate([np.flatnonzero(labels == each)[:size] for each in classes])
            parts |= {name: extracted(images[rows]), f"{name}_labels": labels[rows] - classes[0]}
        np.savez(path, **parts)
    found = np.load(path)
    scale = float(found["target"].std())
    features = [torch.from_numpy(found[name] / scale) for name in ("target", "source")]
    labels = [torch.from_numpy(found[f"{name}_labels"].astype(np.int64)) for name in ("target", "source")]
    return features[0], labels[0], features[1], labels[1]


@torch.inference_mode()
def extracted(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the features of pictures, (N, 1280), enlarged to 64 pixels."""
    found = find_architecture("efficientnet_lite0")
    found = replace(found, preprocessing=replace(found.preprocessing, image_size=64, resize_size=64))
    assert found.published_weights is not None
    network = found.build().eval()
    load_weights(network, parts_of_checkpoint(found, found.published_weights(), origin=found.name).trunk, origin="")
    parts = []
    for start in range(0, len(images), 100):
        batch = to_unit_range(torch.from_numpy(images[start : start + 100]), torch.device("cpu"))
        batch = nn.functional.interpolate(batch, (64, 64), mode="bilinear", antialias=True)
        parts.append(network(evaluation_view(batch, found.preprocessing)).numpy())
    return np.concatenate(parts)


def table(results: Path, num_tested: int) -> list[str]:
    """Return the lines of the table in Markdown, of all draws that are there."""
    pieces = [np.load(path) for path in sorted(results.glob("draws-*.npz")) if ".tmp" not in path.name]
    if not pieces:
        return ["no draws are there yet"]
    right = np.concatenate([np.unpackbits(p["right"], axis=-1, count=int(p["num_images"])) for p in pieces]).astype(
        bool
    )
    rows = dict(zip(ROWS, np.moveaxis(right, 1, 0), strict=True))
    scores = ", ".join(f"{name} {100 * of_row.mean():.1f} %" for name, of_row in rows.items())
    lines = [f"{len(right)} draws, {right.shape[-1]} test images in all, {num_tested} in a study; {scores}", ""]
    lines += ["| studies | repeats | what | share | goal |", "|---|---|---|---|---|"]
    for repeats in (5, 10):
        said = judged(rows["linear_probe"], rows["class_means"], repeats, num_tested)
        truth = float(rows["linear_probe"].mean() - rows["class_means"].mean())
        covered = [each.interval().low <= truth <= each.interval().high for each in said]  # type: ignore[union-attr]
        what = f"the 95 % interval of linear_probe − class_means covers {100 * truth:+.2f} points"
        lines.append(row(covered, repeats, what, "91 to 98 %"))
    for repeats in (5, 10):
        said = judged(rows["random"], rows["random again"], repeats, num_tested)
        differ = [directed(each, ()) for each in said]
        lines.append(row(differ, repeats, "two rows random: better or worse, looked at once", "at most 6 %"))
    for looks in (LOOKS[:3], LOOKS[:4], LOOKS):
        said_at = [judged(rows["random"], rows["random again"], looks[-1], num_tested, look) for look in looks]
        differ = [extended(each, looks) for each in zip(*said_at, strict=True)]
        what = f"two rows random: better or worse, extended until decided at up to {looks[-1]}"
        lines.append(row(differ, looks[-1], what, "at most 6 %"))
    return [line for line in lines if not line.startswith("| 0 ")]


def row(shares: Sequence[bool], repeats: int, what: str, goal: str) -> str:
    share = float(np.mean(shares)) if shares else 0.0
    error = 100 * (share * (1 - share) / max(len(shares), 1)) ** 0.5
    return f"| {len(shares)} | {repeats} | {what} | {100 * share:.1f} ± {error:.1f} % | {goal} |"


def judged(
    first: Bits, second: Bits, repeats: int, num_tested: int, num_looked_at: int | None = None
) -> list[Estimate]:
    """Return the estimates of studies of so many repeats that share no draw, at a look at the first of these."""
    found = []
    for study in range(len(first) // repeats):
        draws = slice(study * repeats, study * repeats + (num_looked_at or repeats))
        rng = np.random.default_rng(derived_seed(study, "tested"))
        images = np.sort(rng.choice(first.shape[1], min(num_tested, first.shape[1]), replace=False))
        names = [str(image) for image in images]
        tables = [
            contributions([top1_images(names, of_repeat) for of_repeat in of_row[draws][:, images]])
            for of_row in (first, second)
        ]
        found.append(estimate(paired_difference(*tables)))
    return found


def directed(difference: Estimate, looks: Sequence[int]) -> bool:
    (verdict,) = verdicts([Contrast("a", "b", "photographs", difference)], looks=looks)
    return verdict.direction is not None


def extended(at_looks: Sequence[Estimate], looks: Sequence[int]) -> bool:
    """Return whether a study says better or worse before or when it is decided."""
    for number, difference in enumerate(at_looks, start=1):
        (verdict,) = verdicts([Contrast("a", "b", "photographs", difference)], looks=looks[:number])
        if verdict.decided:
            return verdict.direction is not None
    return False


if __name__ == "__main__":
    main()
