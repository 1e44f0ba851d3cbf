"""What an experiment of the paper is: its question, the series of studies that answers it, and how it is shown."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from pretrieve.features.centroid_file import NamedCentroids
from pretrieve.records import StudyRecord
from pretrieve_dashboards.experiment import Findings
from pretrieve_selection import SelectionSettings


@dataclass(frozen=True)
class StudyPoint:
    """One study of a series; `pretrieve run FILE --set OVERRIDE …` runs it alone.

    Attributes:
      label: its place in the series, such as the value of the factor that varies.
      file: the study file, below `jobs/studies`.
      overrides: `field.path=value` words that replace what the file says.
    """

    label: str
    file: str
    overrides: tuple[str, ...] = ()


@dataclass(frozen=True)
class ClassMeans:
    """Where a selection problem lies among centroids in files.

    Attributes:
      network: the folder; `imagenet.npz` in it is the source.
      target: the target's file in it, without its suffix.
      expected: known list of the groups that should be found.
    """

    network: str
    target: str
    expected: str


@dataclass(frozen=True)
class SelectionPoint:
    """A selection problem of a study: what is looked at without training anything.

    Attributes:
      label: names the problem, as a rule by its network.
      file: the study file, below `jobs/studies`; its `selection.expected_groups` names what should be found.
      target: the target.
      class_means: where the same problem lies among centroids in files; None for one that is not there.
      overrides: `field.path=value` words.
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
      studies: trained and tested.
      selections: looked at alone.
      deviations: how it departs from the paper's protocol, a sentence each.
    """

    studies: tuple[StudyPoint, ...] = ()
    selections: tuple[SelectionPoint, ...] = ()
    deviations: tuple[str, ...] = ()

    @property
    def points(self) -> tuple[StudyPoint | SelectionPoint, ...]:
        """All points: first those that are looked at in seconds."""
        return (*self.selections, *self.studies)


@dataclass(frozen=True)
class SelectionProblem:
    """The two sides of a selection, with what should be found.

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
    """What an experiment has so far, by the labels of its series; a point that is not done is missing.

    Attributes:
      records: of the studies.
      problems: of the selections.
    """

    records: Mapping[str, StudyRecord] = field(default_factory=dict)
    problems: Mapping[str, SelectionProblem] = field(default_factory=dict)


@dataclass(frozen=True)
class Experiment:
    """A table or figure of the paper.

    Attributes:
      name: on the command line.
      place: where it stands in the paper.
      question: what it answers.
      full: the paper's size.
      mini: a miniature of minutes on images that come along.
      find: makes its tables and figures, of an unfinished series what there is.
    """

    name: str
    place: str
    question: str
    full: Series
    mini: Series
    find: Callable[[Results], Findings]

    def series(self, *, is_mini: bool) -> Series:
        """Return the experiment in one of its sizes."""
        return self.mini if is_mini else self.full
