"""What the miniatures have in common: one study on images that come along, so that what two share is computed once."""

from __future__ import annotations

STUDY = "mini/study.yaml"

WEAK_NETWORK = ("backbone.pretrain.epochs=1",)
"""Overrides for a second network, pre-trained for one epoch instead of eight."""

SMALL_DATA = (
    "data: rendered characters and scanned digits of ten images a class, 32 pixels, in place of photographs",
    "source: 221 characters, 100 images each, in place of ImageNet's 1000 classes",
    "network: a small residual network pre-trained on that source for eight epochs",
)
SMALL_SCALE = (
    *SMALL_DATA,
    "training: 6 epochs in batches of 32, in place of 100 in batches of 256",
    "grid: two learning rates, one weight decay, one λ and one head ratio, in place of 5 × 3 × 3 × 3",
    "two refits a cell, each tested once; the paper prints single numbers",
)
WEAK_SCALE = (
    "the second network is pre-trained with labels too, for one epoch: nothing here pre-trains without labels, and "
    "weaker features stand in for self-supervised ones",
)


def on(*targets: str) -> str:
    """Return the override that replaces the targets of the study.

    >>> on("greek", "symbols")
    'targets=[{registered: greek}, {registered: symbols}]'
    """
    return f"targets=[{', '.join(f'{{registered: {target}}}' for target in targets)}]"


def by(*methods: str) -> str:
    """Return the override that replaces the methods of the study.

    >>> by("finetune", "uot")
    'methods=[finetune, uot]'
    """
    return f"methods=[{', '.join(methods)}]"


def with_expected(target: str) -> str:
    """Return the override that names the groups to be found: the source's letters of the script of `greek`."""
    return f"selection.expected_groups={{{target}: greek_letters.txt}}"
