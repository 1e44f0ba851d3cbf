"""Which groups the methods chose for a target: shared by all, by some, or chosen by one alone."""

from __future__ import annotations

from dataclasses import dataclass

from pretrieve.records import SelectionRecord, StudyRecord
from pretrieve_dashboards import wording
from pretrieve_dashboards.selection_view import margins
from pretrieve_dashboards.svg_canvas import ACCENT, INK, SECOND, Canvas, Scale, cut, text_width
from pretrieve_dashboards.view_table import TableCell, ViewTable, numbers, words

MAX_GROUPS_LISTED = 60
MAX_NAME_LENGTH = 20

_WIDTH, _ROW, _TOP, _BOTTOM = 640.0, 16.0, 18.0, 18.0


@dataclass(frozen=True)
class MemberGroup:
    """One group of the source that some method chose.

    Attributes:
      name: of the group.
      ranks: by method, its rank among all groups; absent where the method did not choose it, or does not list it.
    """

    name: str
    ranks: dict[str, int]


@dataclass(frozen=True)
class MembershipView:
    """The selections of a target, group by group.

    Attributes:
      target: name of the target.
      methods: those that select.
      groups: those chosen by most methods first, then by their best rank.
      num_unique: by method, groups that it alone lists.
      num_in_all: groups that all methods list.
      margins: by method, the margin at its last chosen group in words.
      num_unlisted: by method, chosen groups that the record does not list, as it has very many.
    """

    target: str
    methods: tuple[str, ...]
    groups: tuple[MemberGroup, ...]
    num_unique: dict[str, int]
    num_in_all: int
    margins: dict[str, tuple[str, ...]]
    num_unlisted: dict[str, int]


def membership_view(record: StudyRecord, target: str) -> MembershipView:
    """Lay what the methods chose for a target side by side, as far as they have chosen."""
    selections = [selection for selection in record.selections if selection.target == target]
    methods = tuple(selection.method for selection in selections)
    groups = sorted(_groups(selections), key=lambda group: (-len(group.ranks), min(group.ranks.values()), group.name))
    return MembershipView(
        target=target,
        methods=methods,
        groups=tuple(groups),
        num_unique={method: sum(list(group.ranks) == [method] for group in groups) for method in methods},
        num_in_all=sum(len(group.ranks) == len(methods) for group in groups),
        margins={selection.method: margins(selection) for selection in selections},
        num_unlisted={selection.method: selection.num_selected - len(selection.groups) for selection in selections},
    )


def _groups(selections: list[SelectionRecord]) -> list[MemberGroup]:
    """Join the selections by the number of the group: two classes may have one name."""
    found: dict[int, MemberGroup] = {}
    for selection in selections:
        for group, name, rank in zip(selection.groups, selection.names, selection.ranks, strict=True):
            found.setdefault(group, MemberGroup(name, {})).ranks[selection.method] = rank
    return list(found.values())


def membership_table(view: MembershipView) -> ViewTable:
    """List the groups with their rank by each method."""
    listed = view.groups[:MAX_GROUPS_LISTED]
    return ViewTable(
        caption="Groups that any method chose, those of most methods first, with their rank by each; ·: not chosen.",
        head=("group", *view.methods, "chosen by"),
        rows=tuple(
            (
                *words(group.name),
                *numbers([str(group.ranks.get(method, "·")) for method in view.methods]),
                TableCell(_chosen_by(group, view)),
            )
            for group in listed
        ),
        num_left_out=len(view.groups) - len(listed),
    )


def _chosen_by(group: MemberGroup, view: MembershipView) -> str:
    if len(view.methods) > 1 and len(group.ranks) == len(view.methods):
        return "all"
    return f"{next(iter(group.ranks))} alone" if len(group.ranks) == 1 else f"{len(group.ranks)} methods"


def membership_figure(view: MembershipView) -> str:
    """Draw a row a method and a column a group as SVG; empty words where fewer than two methods select."""
    if len(view.methods) < 2:
        return ""
    canvas = Canvas(_WIDTH, _TOP + _ROW * len(view.methods) + _BOTTOM)
    names = [cut(method, MAX_NAME_LENGTH) for method in view.methods]
    right = max(text_width(f"{view.num_unique[method]} alone") for method in view.methods)
    across = Scale(0, len(view.groups), 10 + max(map(text_width, names)), _WIDTH - right - 8)
    for number, (method, name) in enumerate(zip(view.methods, names, strict=True)):
        y = _TOP + _ROW * number
        canvas.text(across.start - 5, y + 10.5, name, anchor="end")
        canvas.text(across.end + 5, y + 10.5, f"{view.num_unique[method]} alone")
        canvas.box(across.start, y + 2, across.end - across.start, _ROW - 4, color=INK, opacity=0.08)
        for start, end, kind in _runs(view, method):
            color, opacity = _PAINTS[kind]
            canvas.box(across(start), y + 2, across(end) - across(start), _ROW - 4, color=color, opacity=opacity)
    _draw_edges(canvas, view, across)
    title = f"Groups that the methods chose for {view.target}"
    return canvas.write(title=title, alternative=_in_words(view))


_PAINTS = {"all": (ACCENT, 1.0), "some": (ACCENT, 0.5), "alone": (SECOND, 1.0)}
"""Colour and opacity by how many methods chose a group."""


def _runs(view: MembershipView, method: str) -> list[tuple[int, int, str]]:
    """Join neighbouring columns of one kind: (first, one past the last, kind)."""
    runs: list[tuple[int, int, str]] = []
    for column, group in enumerate(view.groups):
        if method not in group.ranks:
            continue
        kind = "all" if len(group.ranks) == len(view.methods) else "alone" if len(group.ranks) == 1 else "some"
        if runs and runs[-1][1:] == (column, kind):
            runs[-1] = (runs[-1][0], column + 1, kind)
        else:
            runs.append((column, column + 1, kind))
    return runs


def _draw_edges(canvas: Canvas, view: MembershipView, across: Scale) -> None:
    x = across.start
    for kind, name in (("all", "chosen by all"), ("some", "by several"), ("alone", "by one alone")):
        color, opacity = _PAINTS[kind]
        canvas.box(x, 3, 9, 8, color=color, opacity=opacity)
        canvas.text(x + 13, 10.5, name)
        x += 28 + text_width(name)
    bottom = _TOP + _ROW * len(view.methods) + 11
    canvas.text(across.start, bottom, f"{wording.count(len(view.groups), 'group')}, a column each", opacity=0.8)


def _in_words(view: MembershipView) -> str:
    parts = [f"{wording.count(len(view.groups), 'group')} in all, {view.num_in_all} of them chosen by all"]
    for method in view.methods:
        unlisted = view.num_unlisted[method]
        more = f" and {unlisted} that are not listed" if unlisted else ""
        parts.append(f"{method}: {view.num_unique[method]} alone, margin {', '.join(view.margins[method])}{more}")
    return "; ".join(parts) + "."
