"""The types of the paper's experiments, and the settings and deviations that several experiments share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from pretrieve import NamedCentroids
from pretrieve.records import StudyRecord
from pretrieve_dashboards import Findings
from pretrieve_selection import SelectionSettings


@dataclass(frozen=True)
class StudyPoint:
    """One study of a series; `pretrieve run FILE --set OVERRIDE …` runs it alone."""

    label: str  # names the study in the series, for example by the value of the factor that varies
    file: str  # the study file, below `jobs/studies`
    overrides: tuple[str, ...] = ()  # settings that replace those of the file, each as `field.path=value`


@dataclass(frozen=True)
class SelectionPoint:
    """A selection problem of a study, which needs no training."""

    label: str  # names the problem, usually by its network
    file: str  # the study file; its `selection.expected_groups` names the groups that should be found
    target: str  # name of the target in the study
    overrides: tuple[str, ...] = ()  # as in `StudyPoint`
    class_means: str | None = None  # the same problem in files: the network's folder, with `imagenet.npz` as source
    expected: str = "imagenet-birds"  # of the problem in files: a list of the groups that should be found


@dataclass(frozen=True)
class Series:
    """An experiment in one size: the paper's, or a miniature of the same shape."""

    studies: tuple[StudyPoint, ...] = ()  # what is trained and tested
    selections: tuple[SelectionPoint, ...] = ()  # what is selected without training
    deviations: tuple[str, ...] = ()  # the differences from the paper's protocol, one sentence each

    @property
    def points(self) -> tuple[StudyPoint | SelectionPoint, ...]:
        """All points: first the selections, which take seconds."""
        return (*self.selections, *self.studies)


@dataclass(frozen=True)
class SelectionProblem:
    """The two sides of a selection and what should be found."""

    source: NamedCentroids  # centroids of the groups, (K_source, D)
    target: NamedCentroids  # centroids of the classes, (K_target, D)
    expected: tuple[int, ...]  # indices of source groups; empty where the study names none
    settings: SelectionSettings  # top_k and the weights of eq. 5

    @property
    def sides(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        return self.source.means, self.target.means


@dataclass(frozen=True)
class Results:
    """What the points of a series gave so far, by their labels; a point that is not done is missing."""

    records: Mapping[str, StudyRecord] = field(default_factory=dict)
    problems: Mapping[str, SelectionProblem] = field(default_factory=dict)


@dataclass(frozen=True)
class Experiment:
    """A table or figure of the paper."""

    name: str  # on the command line
    place: str  # in the paper, such as "Table 4"
    question: str  # what it answers
    full: Series  # in the paper's size
    mini: Series  # a miniature on images that are part of this package; it takes minutes
    find: Callable[[Results], Findings]  # makes its tables and figures; of an unfinished series, the part that exists

    def series(self, *, is_mini: bool) -> Series:
        """Return the miniature or the series of the paper's size."""
        return self.mini if is_mini else self.full


MINI_STUDY = "mini/study.yaml"
"""All miniatures are points of this study, so that what two of them share is computed once."""

THREE_REFITS = "three refits a cell with their interval; the paper prints single numbers"
FIXED_HEAD_RATIO = "the head ratio is 10; the paper settles it with fine-tuning on each target"

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
    """Return the override that replaces the targets of the study by registered ones.

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


def mini_clusters(num_clusters: int, top_k: int) -> str:
    """Return the override that selects so many clusters in place of the source's characters."""
    return f"selection={{unit: cluster, num_clusters: {num_clusters}, top_k: {top_k}}}"


def one_study(label: str, file: str, *overrides: str) -> tuple[StudyPoint, ...]:
    """Return a series of one study."""
    return (StudyPoint(label, file, overrides),)
