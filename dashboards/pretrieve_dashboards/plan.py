"""The plan and the selections that a study wrote as artifacts, parsed and checked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from pretrieve.records import AuditRecord, SelectionRecord, TargetRecord
from pretrieve_dashboards.errors import DashboardError


@dataclass(frozen=True)
class PlannedCell:
    """A (target, method) pair: the keys of its trials in the order of the grid, as far as known, and their number."""

    target: str
    method: str
    trial_keys: tuple[str, ...]
    num_planned: int


@dataclass(frozen=True)
class Plan:
    """What a study set out to do.

    Attributes:
      backbone: its name.
      settings: the whole configuration.
      methods: the rows of the table.
      targets: its columns.
      cells: all pairs with their trials.
      top_ks: numbers of selected units in the grid; empty where it does not vary them.
    """

    backbone: str
    settings: Mapping[str, object]
    methods: tuple[str, ...]
    targets: tuple[TargetRecord, ...]
    cells: tuple[PlannedCell, ...]
    top_ks: tuple[int, ...] = ()


def parse_plan(content: Any, place: str) -> Plan:
    """Read a plan from the content of its JSON artifact, which `place` names in an error.

    Raises:
      DashboardError: a field is missing or of another shape.
    """
    with _well_formed(place):
        return Plan(
            backbone=str(content["backbone"]),
            settings=dict(content["settings"]),
            methods=tuple(map(str, content["methods"])),
            targets=tuple(_target(target) for target in content["targets"]),
            cells=tuple(
                PlannedCell(
                    target=str(cell["target"]),
                    method=str(cell["method"]),
                    trial_keys=tuple(map(str, cell["trial_keys"])),
                    num_planned=int(cell.get("num_trials", len(cell["trial_keys"]))),
                )
                for cell in content["cells"]
            ),
            top_ks=tuple(map(int, content["settings"].get("grid", {}).get("top_k") or ())),
        )


def _target(content: Any) -> TargetRecord:
    return TargetRecord(
        name=str(content["name"]),
        metric=str(content["metric"]),
        num_classes=int(content["num_classes"]),
        num_images={str(split): int(number) for split, number in content["num_images"].items()},
    )


def parse_selection(content: Any, place: str) -> SelectionRecord:
    """Read a selection; one that an earlier version wrote is of the first ranks, and lists all that it chose.

    The artifact counts ranks from 0.

    Raises:
      DashboardError: a field is missing or of another shape, or the lists differ in length.
    """
    with _well_formed(place):
        groups = tuple(int(group) for group in content["groups"])
        selection = SelectionRecord(
            target=str(content["target"]),
            method=str(content["method"]),
            groups=groups,
            names=tuple(map(str, content["names"])),
            scores=tuple(float(score) for score in content["scores"]),
            margin=_margin(content["margin"]),
            converged=bool(content["converged"]),
            ranks=tuple(int(rank) + 1 for rank in content.get("ranks", range(len(groups)))),
            num_selected=int(content.get("num_selected", len(groups))),
            margins={int(top_k): _margin(margin) for top_k, margin in content.get("margins", {}).items()},
            num_shared={str(other): int(each["num_shared"]) for other, each in content.get("overlap", {}).items()},
            thumbnails=tuple(map(str, content.get("thumbnails", ()))),
        )
        listed = (selection.groups, selection.names, selection.scores, selection.ranks)
        if len({len(each) for each in listed}) > 1:
            raise ValueError("groups, names, scores and ranks differ in length")
    return selection


def parse_audit(content: Any, target: str, side: str, place: str) -> AuditRecord:
    """Read what the audit of one side of a target found.

    Raises:
      DashboardError: it is not as an audit writes it.
    """
    with _well_formed(place):
        pairs = content["pairs"]
        return AuditRecord(
            target=target,
            side=side,
            num_leaking=len({pair["source_index"] for pair in pairs}),
            num_shown=len({pair["test_index"] for pair in pairs}),
            num_pairs=len(pairs),
            num_compared=int(content["num_compared"]),
            summary=tuple(str(line) for line in content["summary"]),
        )


def _margin(value: Any) -> float | None:
    return None if value is None else float(value)


@contextmanager
def _well_formed(place: str) -> Iterator[None]:
    try:
        yield
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise DashboardError(
            f"{place} must be as this version of Pretrieve writes it, but reading it ended in "
            f"{type(error).__name__}: {error}; run the study again, which writes it anew"
        ) from error
