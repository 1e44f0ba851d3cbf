"""The groups that the methods selected for a target: which they share, the first of each, and similarity by rank."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import NamedTuple

from markupsafe import Markup

from pretrieve.records import SelectionRecord, StudyRecord
from pretrieve_dashboards import svg_canvas as svg
from pretrieve_dashboards import wording
from pretrieve_dashboards.figures import ranked_similarity
from pretrieve_dashboards.view_table import Table, numeric, row
from pretrieve_dashboards.views._base import Figure, View

NUM_GROUPS_LISTED = 10
MAX_GROUPS_LISTED, MAX_NAME_LENGTH = 60, 20
PICTURED = Markup('{}<img class="thumbnail" alt="Images of {}" src="data:image/jpeg;base64,{}">')

_WIDE, _ROW, _TOP = 640.0, 16.0, 18.0
_PAINTS = {"all": (svg.ACCENT, 1.0), "some": (svg.ACCENT, 0.5), "alone": (svg.SECOND, 1.0)}
"""Colour and opacity of a group, by the number of methods that chose it."""


class MemberGroup(NamedTuple):
    """A group of the source with its rank among all groups, by each method that chose and lists it."""

    name: str
    ranks: dict[str, int]


class Membership(View):
    """A figure with one row per method and one column per group, and the same as a table."""

    name = "membership"
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
                    each.name, *(numeric(each.ranks.get(name, "·")) for name in methods), _chosen_by(each, len(methods))
                )
                for each in listed
            ],
            num_left_out=len(groups) - len(listed),
            folded="The groups with their ranks by each method",
        )

    def figures(self, record: StudyRecord) -> Sequence[Figure]:
        caption = "Which groups the methods chose: those of most methods to the left."
        label = f"Groups that the methods chose for {record.targets[0].name}"
        return (Figure(membership_figure(record), caption, "long", label),)

    def note(self, record: StudyRecord) -> str:
        name = record.targets[0].name
        return f"Larger pictures of the groups are among the study's artifacts, in selections/{name}/."


def member_groups(selections: Sequence[SelectionRecord]) -> list[MemberGroup]:
    """Join the listed groups of a target's selections; groups that most methods chose come first."""
    found: dict[int, MemberGroup] = {}  # by index, because two classes may have the same name
    for selection in selections:
        for group, name, rank in zip(selection.groups, selection.names, selection.ranks, strict=True):
            found.setdefault(group, MemberGroup(name, {})).ranks[selection.method] = rank
    return sorted(found.values(), key=lambda group: (-len(group.ranks), min(group.ranks.values()), group.name))


def _chosen_by(group: MemberGroup, num_methods: int) -> str:
    texts = {"all": "all", "alone": f"{next(iter(group.ranks))} alone", "some": f"{len(group.ranks)} methods"}
    return texts[_kind(group, num_methods)]


def _kind(group: MemberGroup, num_methods: int) -> str:
    return "all" if len(group.ranks) == num_methods else "alone" if len(group.ranks) == 1 else "some"


def membership_figure(record: StudyRecord) -> str:
    """Draw the selections of a target as SVG."""
    selections, groups = record.selections, member_groups(record.selections)
    methods = [each.method for each in selections]
    alone = {method: f"{sum(list(group.ranks) == [method] for group in groups)} alone" for method in methods}
    canvas = svg.Canvas(_WIDE, _TOP + _ROW * len(methods) + 18)
    names = [svg.cut(method, MAX_NAME_LENGTH) for method in methods]
    right = max(map(svg.text_width, alone.values()))
    across = svg.Scale(0, len(groups), 10 + max(map(svg.text_width, names)), _WIDE - right - 8)
    for number, (method, name) in enumerate(zip(methods, names, strict=True)):
        y = _TOP + _ROW * number
        canvas.text(across.start - 5, y + 10.5, name, anchor="end")
        canvas.text(across.end + 5, y + 10.5, alone[method])
        canvas.box(across.start, y + 2, across.end - across.start, _ROW - 4, color=svg.INK, opacity=0.08)
        for start, end, kind in _runs(groups, method, len(methods)):
            color, opacity = _PAINTS[kind]
            canvas.box(across(start), y + 2, across(end) - across(start), _ROW - 4, color=color, opacity=opacity)
    below = f"{wording.count(len(groups), 'group')}, a column each"
    canvas.text(across.start, _TOP + _ROW * len(methods) + 11, below, opacity=0.8)
    paints = list(_PAINTS.values())
    legend = svg.Legend(("chosen by all", "by several", "by one alone"), _WIDE)
    legend.draw(
        canvas, lambda x, y, index: canvas.box(x - 4, y - 4, 9, 8, color=paints[index][0], opacity=paints[index][1])
    )
    in_all = sum(len(group.ranks) == len(methods) for group in groups)
    parts = [f"{wording.count(len(groups), 'group')} in all, {in_all} of them chosen by all"]
    for each in selections:
        num_unlisted = each.num_selected - len(each.groups)
        more = f" and {num_unlisted} that are not listed" if num_unlisted else ""
        parts.append(f"{each.method}: {alone[each.method]}, margin {', '.join(wording.margins(each))}{more}")
    title = f"Groups that the methods chose for {record.targets[0].name}"
    return canvas.write(title=title, alternative="; ".join(parts) + ".")


def _runs(groups: Sequence[MemberGroup], method: str, num_methods: int) -> list[tuple[int, int, str]]:
    """Join adjacent columns of one kind into (first column, last column + 1, kind)."""
    runs, column = [], 0
    for kind, same in groupby(groups, key=lambda each: _kind(each, num_methods) if method in each.ranks else ""):
        end = column + len(list(same))
        runs += [(column, end, kind)] if kind else []
        column = end
    return runs


class Selections(View):
    """The first groups of each selection, with thumbnails, and the similarity of all its groups by rank."""

    name = "selections"
    title = "Selected groups of the source"
    order = 38
    scope = "target"

    def text(self, record: StudyRecord) -> str:
        return (
            "" if record.selections else "No groups of the source are selected yet, or no method of the study selects."
        )

    def table(self, record: StudyRecord) -> Table | None:
        selections = record.selections
        num_rows = min(NUM_GROUPS_LISTED, max((len(each.names) for each in selections), default=0))
        heading, numbers = _row_numbers(selections, num_rows)
        return Table(
            f"Selected groups for {record.targets[0].name}",
            "The first groups of each selection, best first.",
            (heading, *(each.method for each in selections)),
            [row(str(number), *(_group(each, line) for each in selections)) for line, number in enumerate(numbers)],
        )

    def figures(self, record: StudyRecord) -> Sequence[Figure]:
        ranked = [each for each in record.selections if each.ranks_by_similarity]
        return [Figure(ranked_similarity(each), f"{each.method}: similarity by rank.") for each in ranked]


def _group(selection: SelectionRecord, line: int) -> str:
    name, picture = (each[line] if line < len(each) else "" for each in (selection.names, selection.thumbnails))
    return PICTURED.format(name, name, picture) if picture else name


def _row_numbers(selections: Sequence[SelectionRecord], num_rows: int) -> tuple[str, Sequence[int]]:
    """Return the rank of each row, or its place in the selection if the ranks of the selections differ."""
    ranks = [{each.ranks[line] for each in selections if line < len(each.ranks)} for line in range(num_rows)]
    if all(len(each) == 1 for each in ranks):
        return "rank", [each.pop() for each in ranks]
    return "place", range(1, num_rows + 1)


class Overlap(View):
    """The number of groups that each pair of selections shares."""

    name = "overlap"
    title = "Selected groups of the source"
    order = 39
    scope = "target"

    def applies(self, record: StudyRecord) -> bool:
        return bool(record.selections)

    def table(self, record: StudyRecord) -> Table:
        return Table(
            f"Overlap of the selections for {record.targets[0].name}",
            "Groups that two selections share, with the margin at the last chosen group.",
            ("method", *(each.method for each in record.selections), "margin", "solver"),
            [
                row(
                    one.method,
                    *(numeric(_num_shared(one, other)) for other in record.selections),
                    numeric(Markup("<br>").join(wording.margins(one)), record.run_id),
                    "converged" if one.converged else "did not converge",
                )
                for one in record.selections
            ],
        )


def _num_shared(one: SelectionRecord, other: SelectionRecord) -> int:
    """Return the number of shared groups. The record holds it, because it may list only the first groups."""
    if one is other:
        return one.num_selected
    return one.num_shared.get(other.method, len(set(one.groups) & set(other.groups)))
