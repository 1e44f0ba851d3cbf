"""Which groups the methods chose for a target: shared by all, by some, or chosen by one alone."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import groupby
from typing import NamedTuple

from pretrieve.records import SelectionRecord, StudyRecord
from pretrieve_dashboards import wording
from pretrieve_dashboards.svg_canvas import ACCENT, INK, SECOND, Canvas, Legend, Scale, cut, text_width
from pretrieve_dashboards.view_table import Table, numeric, row
from pretrieve_dashboards.views._base import Figure, View
from pretrieve_dashboards.views.selections import margins

MAX_GROUPS_LISTED = 60
MAX_NAME_LENGTH = 20

_WIDTH, _ROW, _TOP, _BOTTOM = 640.0, 16.0, 18.0, 18.0


class MemberGroup(NamedTuple):
    """One group of the source, and its rank among all groups by each method that chose and lists it."""

    name: str
    ranks: dict[str, int]


class Membership(View):
    """A row a method and a column a group, and the same as a list."""

    title = "Selected groups of the source"
    order = 37
    scope = "target"

    def applies(self, record: StudyRecord) -> bool:
        return len(record.selections) > 1

    def table(self, record: StudyRecord) -> Table:
        methods, groups = tuple(each.method for each in record.selections), member_groups(record.selections)
        listed = groups[:MAX_GROUPS_LISTED]
        return Table(
            f"Groups for {record.targets[0].name} with their ranks",
            "Groups that any method chose, those of most methods first, with their rank by each; ·: not chosen.",
            ("group", *methods, "chosen by"),
            [
                row(
                    group.name,
                    *(numeric(group.ranks.get(method, "·")) for method in methods),
                    _chosen_by(group, len(methods)),
                )
                for group in listed
            ],
            num_left_out=len(groups) - len(listed),
            folded="The groups with their ranks by each method",
        )

    def figures(self, record: StudyRecord) -> Sequence[Figure]:
        caption = "Which groups the methods chose: those of most methods to the left."
        label = f"Groups that the methods chose for {record.targets[0].name}"
        return (Figure(membership_figure(record), caption, "long", label),)

    def note(self, record: StudyRecord) -> str:
        folder = f"selections/{record.targets[0].name}/"
        return f"Larger pictures of the groups are among the study's artifacts, in {folder}."


def member_groups(selections: Sequence[SelectionRecord]) -> list[MemberGroup]:
    """Join the selections of a target, as far as they list their groups: first the groups of most methods."""
    found: dict[int, MemberGroup] = {}  # by the number of the group: two classes may have one name
    for selection in selections:
        for group, name, rank in zip(selection.groups, selection.names, selection.ranks, strict=True):
            found.setdefault(group, MemberGroup(name, {})).ranks[selection.method] = rank
    return sorted(found.values(), key=lambda group: (-len(group.ranks), min(group.ranks.values()), group.name))


def _chosen_by(group: MemberGroup, num_methods: int) -> str:
    kind = _kind(group, num_methods)
    return {"all": "all", "alone": f"{next(iter(group.ranks))} alone", "some": f"{len(group.ranks)} methods"}[kind]


def _kind(group: MemberGroup, num_methods: int) -> str:
    return "all" if len(group.ranks) == num_methods else "alone" if len(group.ranks) == 1 else "some"


def membership_figure(record: StudyRecord) -> str:
    """Draw the selections of a target as SVG."""
    selections, groups = record.selections, member_groups(record.selections)
    methods = [each.method for each in selections]
    alone = {method: f"{sum(list(group.ranks) == [method] for group in groups)} alone" for method in methods}
    canvas = Canvas(_WIDTH, _TOP + _ROW * len(methods) + _BOTTOM)
    names = [cut(method, MAX_NAME_LENGTH) for method in methods]
    right = max(map(text_width, alone.values()))
    across = Scale(0, len(groups), 10 + max(map(text_width, names)), _WIDTH - right - 8)
    for number, (method, name) in enumerate(zip(methods, names, strict=True)):
        y = _TOP + _ROW * number
        canvas.text(across.start - 5, y + 10.5, name, anchor="end")
        canvas.text(across.end + 5, y + 10.5, alone[method])
        canvas.box(across.start, y + 2, across.end - across.start, _ROW - 4, color=INK, opacity=0.08)
        for start, end, kind in _runs(groups, method, len(methods)):
            color, opacity = _PAINTS[kind]
            canvas.box(across(start), y + 2, across(end) - across(start), _ROW - 4, color=color, opacity=opacity)
    below = f"{wording.count(len(groups), 'group')}, a column each"
    canvas.text(across.start, _TOP + _ROW * len(methods) + 11, below, opacity=0.8)
    Legend(("chosen by all", "by several", "by one alone"), _WIDTH).draw(canvas, partial(_draw_sample, canvas))
    in_all = sum(len(group.ranks) == len(methods) for group in groups)
    parts = [f"{wording.count(len(groups), 'group')} in all, {in_all} of them chosen by all"]
    for each in selections:
        num_unlisted = each.num_selected - len(each.groups)
        more = f" and {num_unlisted} that are not listed" if num_unlisted else ""
        parts.append(f"{each.method}: {alone[each.method]}, margin {', '.join(margins(each))}{more}")
    title = f"Groups that the methods chose for {record.targets[0].name}"
    return canvas.write(title=title, alternative="; ".join(parts) + ".")


_PAINTS = {"all": (ACCENT, 1.0), "some": (ACCENT, 0.5), "alone": (SECOND, 1.0)}
"""Colour and opacity by how many methods chose a group."""


def _runs(groups: Sequence[MemberGroup], method: str, num_methods: int) -> list[tuple[int, int, str]]:
    """Join neighbouring columns of one kind: (first, one past the last, kind)."""
    runs, column = [], 0
    for kind, same in groupby(groups, key=lambda each: _kind(each, num_methods) if method in each.ranks else ""):
        end = column + len(list(same))
        runs += [(column, end, kind)] if kind else []
        column = end
    return runs


def _draw_sample(canvas: Canvas, x: float, y: float, place: int) -> None:
    color, opacity = list(_PAINTS.values())[place]
    canvas.box(x - 4, y - 4, 9, 8, color=color, opacity=opacity)
