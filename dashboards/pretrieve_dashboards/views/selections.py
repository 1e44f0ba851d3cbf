"""The selections of a target side by side: their first groups, what they share, and similarity by rank."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from pretrieve.records import SelectionRecord, StudyRecord
from pretrieve_dashboards import wording
from pretrieve_dashboards.svg_canvas import COLORS, Canvas, Scale, draw_axes, round_ticks, text_width, tick_words
from pretrieve_dashboards.view_table import Table, numeric, row
from pretrieve_dashboards.views._base import Figure, View

NUM_GROUPS_LISTED = 10
UNRANKED_METHODS = frozenset({"random"})
"""Methods whose scores say nothing of similarity."""
MAX_DOTS = 120
PICTURED = Markup('{}<img class="thumbnail" alt="Images of {}" src="data:image/jpeg;base64,{}">')

_WIDTH, _HEIGHT, _TOP, _BOTTOM = 340.0, 170.0, 18.0, 28.0


class Selections(View):
    """The first groups of each selection, with small pictures, and the similarity of all of them."""

    title = "Selected groups of the source"
    order = 38
    scope = "target"

    def text(self, record: StudyRecord) -> str:
        nothing = "No groups of the source are selected yet, or no method of the study selects."
        return "" if record.selections else nothing

    def table(self, record: StudyRecord) -> Table | None:
        selections = record.selections
        num_rows = min(NUM_GROUPS_LISTED, max((len(each.names) for each in selections), default=0))
        counted, places = _numbering(selections, num_rows)
        return Table(
            f"Selected groups for {record.targets[0].name}",
            "The first groups of each selection, best first.",
            (counted, *(each.method for each in selections)),
            [row(str(place), *(_group(each, line) for each in selections)) for line, place in enumerate(places)],
        )

    def figures(self, record: StudyRecord) -> Sequence[Figure]:
        ranked = [each for each in record.selections if each.method not in UNRANKED_METHODS]
        return [Figure(ranked_similarity(each), f"{each.method}: similarity by rank.") for each in ranked]


def _group(selection: SelectionRecord, line: int) -> str:
    name, picture = (each[line] if line < len(each) else "" for each in (selection.names, selection.thumbnails))
    return PICTURED.format(name, name, picture) if picture else name


def _numbering(selections: Sequence[SelectionRecord], num_rows: int) -> tuple[str, Sequence[int]]:
    """Count the rows by rank, or by place in the selection where the ranks of the selections differ."""
    ranks = [{each.ranks[line] for each in selections if line < len(each.ranks)} for line in range(num_rows)]
    is_same = all(len(each) == 1 for each in ranks)
    return ("rank", [each.pop() for each in ranks]) if is_same else ("place", range(1, num_rows + 1))


class Overlap(View):
    """How many groups two selections share."""

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
    """Count shared groups; the record knows of all, where it lists only the first of very many."""
    if one is other:
        return one.num_selected
    return one.num_shared.get(other.method, len(set(one.groups) & set(other.groups)))


def margins(selection: SelectionRecord) -> tuple[str, ...]:
    """Write the margin at the last chosen group, at each number of groups that the grid tries."""
    if len(selection.margins) < 2:
        return (_margin(selection, selection.margin),)
    return tuple(
        f"{wording.hyperparameter('top_k', top_k)}: {_margin(selection, margin)}"
        for top_k, margin in selection.margins.items()
    )


def _margin(selection: SelectionRecord, margin: float | None) -> str:
    if margin is not None:
        return f"{margin:.3g}"
    return "all chosen" if selection.ranks[:1] == (1,) else "none follows"


def ranked_similarity(selection: SelectionRecord) -> str:
    """Draw the similarity of the chosen groups by rank, and of the group that follows (figure 2b).

    Args:
      selection: what a method chose for a target; a decile of the ranking stands at its own ranks (figure 4b). The
        group that follows is drawn where its rank is known: the record lists all groups, and skips no rank.

    Returns:
      SVG with a text alternative that names the first and the last group.
    """
    canvas = Canvas(_WIDTH, _HEIGHT)
    following = selection.margin if selection.margin is not None and _lists_every_rank(selection) else None
    if selection.scores:
        _draw_ranking(canvas, selection, following)
    title = f"Ranked similarity of the source's groups to {selection.target}, by {selection.method}"
    return canvas.write(title=title, alternative=_ranking_alternative(selection))


def _draw_ranking(canvas: Canvas, selection: SelectionRecord, margin: float | None) -> None:
    lowest = selection.scores[-1] - (margin or 0.0)
    up = Scale(min(*selection.scores, lowest), max(selection.scores), _HEIGHT - _BOTTOM, _TOP)
    ticks = round_ticks(up.low, up.high, at_most=5)
    y_ticks = dict(zip(ticks, tick_words(ticks), strict=True))
    last = selection.ranks[-1] + (margin is not None)
    across = Scale(selection.ranks[0], last, 10 + max(map(text_width, y_ticks.values())), _WIDTH - 12)
    x_ticks = {rank: str(int(rank)) for rank in round_ticks(across.low, across.high, at_most=5, whole=True)}
    draw_axes(canvas, across, up, x_ticks=x_ticks, y_ticks=y_ticks, label="rank of the group; similarity")
    points = [(across(rank), up(score)) for rank, score in zip(selection.ranks, selection.scores, strict=True)]
    canvas.line(points, color=COLORS[0], width=1.6)
    if len(points) <= MAX_DOTS:
        for x, y in points:
            canvas.dot(x, y, radius=1.6, color=COLORS[0])
    if margin is not None:
        for x, y in ((across(last), up(lowest)), (_WIDTH - 80, 9)):
            canvas.dot(x, y, color=COLORS[1], is_open=True)
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


def _lists_every_rank(selection: SelectionRecord) -> bool:
    first = selection.ranks[0] if selection.ranks else 0
    is_whole = 0 < len(selection.ranks) == selection.num_selected
    return is_whole and selection.ranks[-1] - first == len(selection.ranks) - 1
