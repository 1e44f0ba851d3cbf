"""Figures of a study that are files as well: test scores by target, and the similarity of selected groups by rank."""

from __future__ import annotations

from pretrieve.records import SelectionRecord
from pretrieve_dashboards import wording
from pretrieve_dashboards.svg_canvas import (
    COLORS,
    Canvas,
    Legend,
    Scale,
    color_of,
    cut,
    draw_axes,
    draw_columns,
    padded,
    round_ticks,
    text_width,
    tick_words,
)
from pretrieve_dashboards.table_of_scores import ScoreTable

MAX_DOTS, MAX_NAME_LENGTH = 120, 30

_WIDTH = 340.0
_BAND, _DOT, _BELOW = 12.0, 9.0, 30.0  # of the dot plot
_HEIGHT, _TOP, _BOTTOM = 170.0, 18.0, 28.0  # of the similarity by rank


def dot_plot(table: ScoreTable) -> str:
    """Draw the table as SVG: for each target one mark per method with its 95% interval, cut at 0 and 100%.

    Missing scores are left out. The text alternative lists every number.
    """
    legend = Legend([cut(method, MAX_NAME_LENGTH) for method in table.methods], _WIDTH)
    targets = [cut(target, MAX_NAME_LENGTH) for target in table.targets]
    band = _BAND + _DOT * len(table.methods)
    top, bottom = legend.height + 6, legend.height + 6 + band * max(1, len(targets))
    canvas = Canvas(_WIDTH, bottom + _BELOW)
    scored = [(cell.test_mean, cell.test_ci95 or 0.0) for cell in table.cells.values() if cell.test_mean is not None]
    low, high = padded([100 * (mean + sign * ci95) for mean, ci95 in scored for sign in (-1, 1)])
    left = 10 + max(map(text_width, targets), default=0.0)
    across = Scale(max(low, 0.0), min(high, 100.5), left, _WIDTH - 10)
    draw_columns(canvas, across, across.ticks(6), top, bottom)
    canvas.line([(across.start, top), (across.start, bottom), (across.end, bottom)], opacity=0.7)
    for number, name in enumerate(targets):
        canvas.text(across.start - 5, top + band * (number + 0.5) + 3, name, anchor="end")
        for index, method in enumerate(table.methods):
            mean, ci95 = table.mean(table.targets[number], method), table.ci95(table.targets[number], method) or 0.0
            if mean is not None:
                y = top + band * number + _BAND / 2 + _DOT * (index + 0.5)
                ends = [across(across.clamp(100 * (mean + sign * ci95))) for sign in (-1, 1)]
                canvas.line([(end, y) for end in ends], color=color_of(index), width=1.4)
                canvas.mark(across(100 * mean), y, index)
    canvas.text(across.end, bottom + 25, "test score in %, with 95% interval", anchor="end", opacity=0.8)
    legend.draw(canvas, canvas.mark)
    return canvas.write(title="Test score by target and method", alternative=_description(table))


def _description(table: ScoreTable) -> str:
    parts = []
    for target in table.targets:
        scores = [
            f"{method} {table.score(target, method)}"
            for method in table.methods
            if table.mean(target, method) is not None
        ]
        parts.append(f"{target}: {', '.join(scores) or 'nothing tested yet'}")
    return "; ".join(parts) + "."


def ranked_similarity(selection: SelectionRecord) -> str:
    """Draw the similarity of the chosen groups by rank as SVG (figures 2b and 4b).

    The next group is drawn too if its rank is known: if the record lists all chosen groups, without gaps in their
    ranks. The text alternative names the first and the last group.
    """
    canvas, ranks = Canvas(_WIDTH, _HEIGHT), selection.ranks
    lists_every_rank = 0 < len(ranks) == selection.num_selected and ranks[-1] - ranks[0] == len(ranks) - 1
    if selection.scores:
        _draw_ranking(canvas, selection, selection.margin if lists_every_rank else None)
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
    for x, y in points if len(points) <= MAX_DOTS else ():
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
