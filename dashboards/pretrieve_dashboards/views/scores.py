"""The table of test scores, and the same numbers drawn."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.console import Console, RenderableType
from rich.text import Text

from pretrieve.records import StudyRecord
from pretrieve_dashboards import wording
from pretrieve_dashboards.svg_canvas import (
    Canvas,
    Legend,
    Scale,
    color_of,
    cut,
    draw_columns,
    padded,
    round_ticks,
    text_width,
)
from pretrieve_dashboards.table import ScoreTable, score_table, table_parts
from pretrieve_dashboards.view_table import Table
from pretrieve_dashboards.views._base import Figure, View

MAX_NAME_LENGTH = 30

_WIDTH, _BAND, _DOT, _BOTTOM = 340.0, 12.0, 9.0, 30.0


class Scores(View):
    """A row a method and a column a target: mean test score and its 95% interval."""

    id = "table"
    title = "Test scores"
    link = "Table"
    order = 10
    in_notebook = True

    def table(self, record: StudyRecord) -> Table:
        return score_table(record).shown()

    def figures(self, record: StudyRecord) -> Sequence[Figure]:
        caption = "The same numbers: a dot is the mean of the refits, the line its 95% interval, cut at 0 and 100%."
        return (Figure(dot_plot(score_table(record)), caption, "wide"),)

    def printed(self, record: StudyRecord, console: Console) -> Iterable[RenderableType]:
        table = score_table(record)
        state = "" if record.is_finished else "  (unfinished)"
        yield Text(f"{record.name}: {record.backbone}, test score in %{state}", style="bold")
        yield from table_parts(table, console)
        yield Text(_legend(record, table), style="dim")


def _legend(record: StudyRecord, table: ScoreTable) -> str:
    num_tested = {sum(refit.score is not None for refit in cell.refits) for cell in record.cells} - {0}
    refits = f" over {min(num_tested)}–{max(num_tested)} refits" if len(num_tested) > 1 else ""
    if len(num_tested) == 1:
        refits = f" over {wording.count(min(num_tested), 'refit')}"
    per_class = [target for target in table.targets if table.metrics[target] == "mean_per_class"]
    metric = f" Accuracy is the mean of the classes' for {', '.join(per_class)}, else top-1." if per_class else ""
    return f"± is half of the 95% interval (Student's t{refits}); bold: the largest mean on a target.{metric}"


def dot_plot(table: ScoreTable) -> str:
    """Draw the table as SVG: for each target a dot a method, with its 95% interval, cut at 0 and 100%.

    Absent scores are left out; the text alternative lists every number.
    """
    legend = Legend([cut(method, MAX_NAME_LENGTH) for method in table.methods], _WIDTH)
    targets = [cut(target, MAX_NAME_LENGTH) for target in table.targets]
    band = _BAND + _DOT * len(table.methods)
    top, bottom = legend.height + 6, legend.height + 6 + band * max(1, len(targets))
    canvas = Canvas(_WIDTH, bottom + _BOTTOM)
    across = _score_scale(table, 10 + max(map(text_width, targets), default=0.0))
    ticks = {tick: f"{tick:g}" for tick in round_ticks(across.low, across.high, at_most=6)}
    draw_columns(canvas, across, ticks, top, bottom)
    canvas.line([(across.start, top), (across.start, bottom), (across.end, bottom)], opacity=0.7)
    for number, name in enumerate(targets):
        canvas.text(across.start - 5, top + band * (number + 0.5) + 3, name, anchor="end")
        for place, method in enumerate(table.methods):
            y = top + band * number + _BAND / 2 + _DOT * (place + 0.5)
            _draw_score(canvas, table, (table.targets[number], method), across, y)
    canvas.text(across.end, bottom + 25, "test score in %, with 95% interval", anchor="end", opacity=0.8)
    legend.draw(canvas, canvas.mark)
    return canvas.write(title="Test score by target and method", alternative=_in_words(table))


def _score_scale(table: ScoreTable, start: float) -> Scale:
    """Cover every interval, as far as it lies where a score can be."""
    cells = [cell for cell in table.cells.values() if cell.test_mean is not None]
    ends = [100 * ((cell.test_mean or 0.0) + sign * (cell.test_ci95 or 0.0)) for cell in cells for sign in (-1, 1)]
    low, high = padded(ends)
    return Scale(max(low, 0.0), min(high, 100.5), start, _WIDTH - 10)


def _draw_score(canvas: Canvas, table: ScoreTable, place: tuple[str, str], across: Scale, y: float) -> None:
    mean, ci95, number = table.mean(*place), table.ci95(*place) or 0.0, table.methods.index(place[1])
    if mean is None:
        return
    ends = [min(max(100 * (mean + sign * ci95), across.low), across.high) for sign in (-1, 1)]
    canvas.line([(across(end), y) for end in ends], color=color_of(number), width=1.4)
    canvas.mark(across(100 * mean), y, number)


def _in_words(table: ScoreTable) -> str:
    parts = []
    for target in table.targets:
        scores = [
            f"{method} {wording.score(table.mean(target, method), table.ci95(target, method))}"
            for method in table.methods
            if table.mean(target, method) is not None
        ]
        parts.append(f"{target}: {', '.join(scores) or 'nothing tested yet'}")
    return "; ".join(parts) + "."
