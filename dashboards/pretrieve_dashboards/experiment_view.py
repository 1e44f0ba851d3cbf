"""An experiment of the paper as it is shown: our numbers beside the published ones, drawn, with what departs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pretrieve_dashboards.comparison import Comparison


@dataclass(frozen=True)
class Drawing:
    """A figure.

    Attributes:
      caption: what it shows.
      svg: with a text alternative of its own.
    """

    caption: str
    svg: str


@dataclass(frozen=True)
class Listing:
    """A table of words.

    Attributes:
      title: what it lists.
      headings: of the columns.
      rows: as many words each.
    """

    title: str
    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Findings:
    """What the results of an experiment come to, so far.

    Attributes:
      comparisons: its tables, first the one that answers the question.
      drawings: its figures.
      listings: what else is to be read.
    """

    comparisons: tuple[Comparison, ...]
    drawings: tuple[Drawing, ...] = ()
    listings: tuple[Listing, ...] = ()


@dataclass(frozen=True)
class ExperimentView:
    """Everything that the report of an experiment says.

    Attributes:
      name: what `pretrieve reproduce` calls it.
      place: where it stands in the paper.
      question: what it answers.
      findings: the answer, so far.
      deviations: how this run departs from the paper's protocol, a sentence each.
      missing: what there is not yet, or went wrong; empty where it is whole.
      studies: by the point of the series, the report of its study, relative to this report's folder.
      stores: MLflow's address by the name of the study.
      run_pages: where a run is shown in MLflow's UI, by its id, where that is known.
    """

    name: str
    place: str
    question: str
    findings: Findings
    deviations: Sequence[str] = ()
    missing: Sequence[str] = ()
    studies: Mapping[str, str] = field(default_factory=dict)
    stores: Mapping[str, str] = field(default_factory=dict)
    run_pages: Mapping[str, str] = field(default_factory=dict)
