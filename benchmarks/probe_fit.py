"""How long one fit of a linear probe takes, and how much memory: by default at the size of SUN397.

    python benchmarks/probe_fit.py
    python benchmarks/probe_fit.py --images 505 --classes 101 --dim 1280

The features are drawn: class means on a few directions, as those of a network lie, and noise around them. Goal at the
size of SUN397 (19,850 images of 397 classes, 2,048 features): at most 3 min and 2 GB on two cores.
"""

from __future__ import annotations

import argparse
import resource
import time

import torch

from pretrieve.components.hyperparameters import L2
from pretrieve.training.linear_heads import logistic_regression


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=19_850)
    parser.add_argument("--classes", type=int, default=397)
    parser.add_argument("--dim", type=int, default=2_048)
    parser.add_argument("--l2", type=float, nargs="+", default=[max(L2.grid), 10.0, min(L2.grid)])
    arguments = parser.parse_args()
    generator = torch.Generator().manual_seed(0)
    # Some directions vary far more than others, which is what makes a fit slow.
    spread = torch.logspace(0, -2, arguments.dim)
    means = torch.randn(arguments.classes, arguments.dim, generator=generator)
    labels = torch.arange(arguments.images) % arguments.classes
    features = torch.randn(arguments.images, arguments.dim, generator=generator).mul_(3).add_(means[labels])
    features = features.mul_(spread).clamp_(min=0)
    print(f"{arguments.images} images, {arguments.classes} classes, {arguments.dim} features")
    for l2 in arguments.l2:
        started = time.perf_counter()
        head = logistic_regression(features, labels, num_classes=arguments.classes, l2=l2)
        took_s = time.perf_counter() - started
        right = float(((features @ head.weight.T + head.bias).argmax(1) == labels).float().mean())
        peak_gb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
        print(
            f"l2 {l2:g}: {took_s:.1f} s, {100 * right:.1f} % of the images right, {peak_gb:.2f} GB at most", flush=True
        )


if __name__ == "__main__":
    main()
