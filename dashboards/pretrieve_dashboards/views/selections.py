"""The groups that the methods selected for a target: which they share, the first of each, and similarity by rank."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import NamedTuple

from markupsafe import Markup

from pretrieve.records import SelectionRecord, StudyRecord
from pretrieve_dashboards import svg_canvas as svg
from pretrieve_dashboards import wording
from pretrieve_dashboards.view_table import Table, numeric, row
from pretrieve_dashboards.views._base import Figure, View

NUM_GROUPS_LISTED = 10
MAX_DOTS, MAX_GROUPS_LISTED, MAX_NAME_LENGTH = 120, 60, 20
PICTURED = Markup('{}<img class="thumbnail" alt="Images of {}" src="data:image/jpeg;base64,{}">')

_WIDTH, _HEIGHT, _TOP, _BOTTOM = 340.0, 170.0, 18.0, 28.0
_WIDE, _ROW = 640.0, 16.0
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
        parts.append(f"{each.method}: {alone[each.method]}, margin {', '.join(margins(each))}{more}")
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
                    numeric(Markup("<br>").join(margins(one)), record.run_id),
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


def margins(selection: SelectionRecord) -> tuple[str, ...]:
    """Write the margin at the last chosen group, for each number of groups in the grid."""
    if len(selection.margins) < 2:
        return (_margin(selection, selection.margin),)
    texts = {top_k: _margin(selection, margin) for top_k, margin in selection.margins.items()}
    return tuple(f"{wording.hyperparameter('top_k', top_k)}: {text}" for top_k, text in texts.items())


def _margin(selection: SelectionRecord, margin: float | None) -> str:
    if margin is not None:
        return f"{margin:.3g}"
    return "all chosen" if selection.ranks[:1] == (1,) else "none follows"


def ranked_similarity(selection: SelectionRecord) -> str:
    """Draw the similarity of the chosen groups by rank as SVG (figures 2b and 4b).

    The next group is drawn too if its rank is known: if the record lists all chosen groups, without gaps in their
    ranks. The text alternative names the first and the last group.
    """
    canvas, ranks = svg.Canvas(_WIDTH, _HEIGHT), selection.ranks
    lists_every_rank = 0 < len(ranks) == selection.num_selected and ranks[-1] - ranks[0] == len(ranks) - 1
    if selection.scores:
        _draw_ranking(canvas, selection, selection.margin if lists_every_rank else None)
    title = f"Ranked similarity of the source's groups to {selection.target}, by {selection.method}"
    return canvas.write(title=title, alternative=_ranking_alternative(selection))


def _draw_ranking(canvas: svg.Canvas, selection: SelectionRecord, margin: float | None) -> None:
    lowest = selection.scores[-1] - (margin or 0.0)
    up = svg.Scale(min(*selection.scores, lowest), max(selection.scores), _HEIGHT - _BOTTOM, _TOP)
    ticks = svg.round_ticks(up.low, up.high, at_most=5)
    y_ticks = dict(zip(ticks, svg.tick_words(ticks), strict=True))
    last = selection.ranks[-1] + (margin is not None)
    across = svg.Scale(selection.ranks[0], last, 10 + max(map(svg.text_width, y_ticks.values())), _WIDTH - 12)
    x_ticks = {rank: str(int(rank)) for rank in svg.round_ticks(across.low, across.high, at_most=5, whole=True)}
    svg.draw_axes(canvas, across, up, x_ticks=x_ticks, y_ticks=y_ticks, label="rank of the group; similarity")
    points = [(across(rank), up(score)) for rank, score in zip(selection.ranks, selection.scores, strict=True)]
    canvas.line(points, color=svg.COLORS[0], width=1.6)
    for x, y in points if len(points) <= MAX_DOTS else ():
        canvas.dot(x, y, radius=1.6, color=svg.COLORS[0])
    if margin is not None:
        for x, y in ((across(last), up(lowest)), (_WIDTH - 80, 9)):
            canvas.dot(x, y, color=svg.COLORS[1], is_open=True)
        canvas.text(_WIDTH - 72, 12, "first left out" if _is_of_first_ranks(selection) else "next rank")


def _ranking_alternative(selection: SelectionRecord) -> str:
    if not selection.scores:
        return "No group was chosen."
    first, last = (f"{selection.names[place]} with {selection.scores[place]:.4g}" for place in (0, -1))
    number = wording.count(len(selection.scores), "group")
    if len(selection.scores) < selection.num_selected:
        number = f"The first {len(selection.scores)} of {selection.num_selected} groups"
    if not _is_of_first_ranks(selection):
        number += f" of rank {selection.ranks[0]} to {selection.ranks[-1]}"
    if selection.margin is None or len(selection.scores) < selection.num_selected:
        return f"{number}, from {first} to {last}."
    following = "first group left out" if _is_of_first_ranks(selection) else "next group"
    return f"{number}, from {first} to {last}; the {following} is {selection.margin:.3g} lower."


def _is_of_first_ranks(selection: SelectionRecord) -> bool:
    return selection.ranks[:1] in ((), (1,))
