"""The types of the paper's experiments, and the overrides and deviations that several experiments share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from pretrieve import NamedCentroids
from pretrieve.records import StudyRecord
from pretrieve_dashboards import Findings
from pretrieve_selection import SelectionSettings


@dataclass(frozen=True)
class StudyPoint:
    """One study of a series; `pretrieve run FILE --set OVERRIDE …` runs it alone.

    Attributes:
      label: names the study in the series, for example by the value of the factor that varies.
      file: the study file, below `jobs/studies`.
      overrides: settings that replace those of the file, each as `field.path=value`.
    """

    label: str
    file: str
    overrides: tuple[str, ...] = ()


@dataclass(frozen=True)
class ClassMeans:
    """The files that hold the centroids of a selection problem.

    Attributes:
      network: the folder; `imagenet.npz` in it is the source.
      target: the target's file in it, without its suffix.
      expected: name of a list of the groups that should be found.
    """

    network: str
    target: str
    expected: str


@dataclass(frozen=True)
class SelectionPoint:
    """A selection problem of a study, which needs no training.

    Attributes:
      label: names the problem, usually by its network.
      file: the study file, below `jobs/studies`; its `selection.expected_groups` names what should be found.
      target: name of the target in the study.
      class_means: files that hold the centroids of the same problem; None where there are none.
      overrides: as in `StudyPoint`.
    """

    label: str
    file: str
    target: str
    class_means: ClassMeans | None = None
    overrides: tuple[str, ...] = ()


@dataclass(frozen=True)
class Series:
    """An experiment in one size: the paper's, or a miniature of the same shape.

    Attributes:
      studies: what is trained and tested.
      selections: what is selected without training.
      deviations: the differences from the paper's protocol, one sentence each.
    """

    studies: tuple[StudyPoint, ...] = ()
    selections: tuple[SelectionPoint, ...] = ()
    deviations: tuple[str, ...] = ()

    @property
    def points(self) -> tuple[StudyPoint | SelectionPoint, ...]:
        """All points: first the selections, which take seconds."""
        return (*self.selections, *self.studies)


@dataclass(frozen=True)
class SelectionProblem:
    """The two sides of a selection and what should be found.

    Attributes:
      source: centroids of the groups, (K_source, D).
      target: centroids of the classes, (K_target, D).
      expected: indices of source groups; empty where the study names none.
      settings: top_k and the weights of eq. 5.
    """

    source: NamedCentroids
    target: NamedCentroids
    expected: tuple[int, ...]
    settings: SelectionSettings


@dataclass(frozen=True)
class Results:
    """What the points of a series gave so far, by their labels; a point that is not done is missing."""

    records: Mapping[str, StudyRecord] = field(default_factory=dict)
    problems: Mapping[str, SelectionProblem] = field(default_factory=dict)


@dataclass(frozen=True)
class Experiment:
    """A table or figure of the paper.

    Attributes:
      name: its name on the command line.
      place: the number of the table or figure, such as "Table 4".
      question: what it answers.
      full: the series in the paper's size.
      mini: a miniature on images that are part of this package; it takes minutes.
      find: makes the tables and figures; of an unfinished series, the part that exists.
    """

    name: str
    place: str
    question: str
    full: Series
    mini: Series
    find: Callable[[Results], Findings]

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


def with_expected(target: str) -> str:
    """Return the override that names the groups to be found: the source's Greek letters."""
    return f"selection.expected_groups={{{target}: greek_letters.txt}}"
