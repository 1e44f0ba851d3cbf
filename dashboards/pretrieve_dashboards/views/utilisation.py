"""The attempts at trials and refits by worker and time, and the share of the time that each worker was busy."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import NamedTuple

from pretrieve.records import StudyRecord
from pretrieve_dashboards import wording
from pretrieve_dashboards.svg_canvas import COLORS, Canvas, Legend, Scale, cut, draw_columns, round_ticks, text_width
from pretrieve_dashboards.view_table import Table, TableCell, numeric, row
from pretrieve_dashboards.views._base import Figure, View

UNKNOWN_WORKER = "not recorded"
MAX_LANES_DRAWN = 64
MAX_NAME_LENGTH = 28
LOST = ("failed", "diverged")

_WIDTH, _LANE, _TOP, _BOTTOM = 640.0, 11.0, 20.0, 26.0
_UNITS = ((86_400_000, "d"), (3_600_000, "h"), (60_000, "min"), (1_000, "s"))
_KINDS = {"trial": "trial", "refit": "refit", "lost": "diverged or failed"}
_COLORS = {"trial": COLORS[0], "refit": COLORS[2], "lost": COLORS[1]}


class Span(NamedTuple):
    """The time of one attempt, relative to the study's first attempt. If its end is unknown, it equals the start.

    The kind is `trial`, `refit`, or `lost` if the trial diverged or failed.
    """

    start_ms: int
    end_ms: int
    kind: str


class Lane(NamedTuple):
    """Attempts of one worker that do not overlap. A worker that runs several trials at once has several lanes."""

    worker: str
    spans: tuple[Span, ...]

    @property
    def busy_ms(self) -> int:
        return sum(span.end_ms - span.start_ms for span in self.spans)


class Utilisation(View):
    """The attempts at trials and refits by worker, as a figure and a table."""

    name = "utilisation"
    id = "workers"
    title = "What each worker did when"
    order = 60

    def applies(self, record: StudyRecord) -> bool:
        return bool(worker_times(record).lanes)

    def table(self, record: StudyRecord) -> Table:
        times = worker_times(record)
        rows = [_row(times, worker, lanes) for worker, lanes in times.by_worker.items()]
        rows += [_row(times, "all", times.lanes)] if len(rows) > 1 else []
        return Table(
            "Workers and their use",
            "Each worker with the most trials it ran side by side, and the share of the time in which the study ran "
            "that these were busy.",
            ("worker", "side by side", "attempts", "busy", "first start", "last end", "used"),
            rows,
        )

    def figures(self, record: StudyRecord) -> Sequence[Figure]:
        return (Figure(utilisation_figure(worker_times(record)), size="long", label="Workers over time"),)

    def note(self, record: StudyRecord) -> str:
        number = worker_times(record).num_untimed
        return f"{number} of the trials and refits have no times." if number else ""


class WorkerTimes(NamedTuple):
    """The attempts of a study over time."""

    lanes: Sequence[Lane]  # sorted by worker
    active_ms: int  # time in which at least one worker was busy, without pauses of the whole study
    length_ms: int  # time from the first start to the last end
    num_untimed: int  # trials and refits without recorded times

    @property
    def by_worker(self) -> dict[str, list[Lane]]:
        return {worker: list(lanes) for worker, lanes in groupby(self.lanes, key=lambda lane: lane.worker)}

    def share_used(self, lanes: Sequence[Lane]) -> float | None:
        """Return the share of the active time in which the lanes were busy; None before anything ran."""
        whole = self.active_ms * len(lanes)
        return sum(lane.busy_ms for lane in lanes) / whole if whole else None


def worker_times(record: StudyRecord) -> WorkerTimes:
    """Arrange the attempts of a finished or unfinished study by worker and time."""
    trials = [trial for cell in record.cells for trial in (*cell.trials, *cell.refits, *cell.refits_with_leaks)]
    first = min((attempt.start_ms for trial in trials for attempt in trial.attempts), default=0)
    by_worker: dict[str, list[Span]] = defaultdict(list)
    for trial in trials:
        kind = "lost" if trial.state in LOST else trial.kind
        for attempt in trial.attempts:
            end_ms = max(attempt.start_ms, attempt.end_ms or 0)
            span = Span(attempt.start_ms - first, end_ms - first, kind)
            by_worker[attempt.worker or UNKNOWN_WORKER].append(span)
    lanes = [Lane(worker, spans) for worker in sorted(by_worker) for spans in _into_lanes(by_worker[worker])]
    spans = [span for spans in by_worker.values() for span in spans]
    length_ms = max((span.end_ms for span in spans), default=0)
    return WorkerTimes(lanes, _covered(spans), length_ms, sum(not trial.attempts for trial in trials))


def _into_lanes(spans: Sequence[Span]) -> list[tuple[Span, ...]]:
    """Distribute spans over as few lanes as possible without overlap; each goes into the first free lane."""
    lanes: list[list[Span]] = []
    for span in sorted(spans, key=lambda each: (each.start_ms, each.end_ms)):
        free = next((lane for lane in lanes if lane[-1].end_ms <= span.start_ms), None)
        if free is None:
            lanes.append(free := [])
        free.append(span)
    return [tuple(lane) for lane in lanes]


def _covered(spans: Iterable[Span]) -> int:
    covered = reached = 0
    for span in sorted(spans, key=lambda each: each.start_ms):
        covered += max(0, span.end_ms - max(span.start_ms, reached))
        reached = max(reached, span.end_ms)
    return covered


def _row(times: WorkerTimes, worker: str, lanes: Sequence[Lane]) -> tuple[TableCell, ...]:
    spans = [span for lane in lanes for span in lane.spans]
    busy_ms = sum(lane.busy_ms for lane in lanes)
    start_ms, end_ms = min(span.start_ms for span in spans), max(span.end_ms for span in spans)
    durations = [wording.duration(time_ms / 1000) for time_ms in (busy_ms, start_ms, end_ms)]
    share = times.share_used(lanes)
    used = wording.ABSENT if share is None else f"{100 * share:.0f} %"
    return row(worker, numeric(len(lanes)), numeric(len(spans)), *map(numeric, durations), numeric(used))


def utilisation_figure(times: WorkerTimes) -> str:
    """Draw at least one lane as SVG."""
    lanes = times.lanes[:MAX_LANES_DRAWN]
    canvas = Canvas(_WIDTH, _TOP + _LANE * len(lanes) + _BOTTOM)
    names = [cut(lane.worker, MAX_NAME_LENGTH) for lane in lanes]
    across = Scale(0, max(1, times.length_ms), 8 + max(map(text_width, names)), _WIDTH - 10)
    _draw_frame(canvas, times, across, _TOP + _LANE * len(lanes))
    for number, (lane, name) in enumerate(zip(lanes, names, strict=True)):
        y = _TOP + _LANE * number
        if number == 0 or lanes[number - 1].worker != lane.worker:
            canvas.text(across.start - 5, y + 8.5, name, anchor="end")
        for span in _merged(lane.spans, across):
            x = across(span.start_ms)
            canvas.box(x, y + 1, max(0.8, across(span.end_ms) - x), _LANE - 2, color=_COLORS[span.kind])
    return canvas.write(title="What each worker did when", alternative=_description(times))


def _merged(spans: Sequence[Span], across: Scale) -> list[Span]:
    """Join consecutive spans of one kind that are too close to be distinguished, which keeps the SVG small."""
    merged: list[Span] = []
    for span in spans:
        last = merged[-1] if merged else None
        if last and last.kind == span.kind and across(span.end_ms) - across(last.start_ms) < 1.5:
            merged[-1] = Span(last.start_ms, span.end_ms, span.kind)
        else:
            merged.append(span)
    return merged


def _draw_frame(canvas: Canvas, times: WorkerTimes, across: Scale, bottom: float) -> None:
    unit_ms, name = next((each for each in _UNITS if times.length_ms >= 2 * each[0]), _UNITS[-1])
    ticks = round_ticks(0.0, times.length_ms / unit_ms, at_most=8)
    draw_columns(canvas, across, {tick * unit_ms: f"{tick:g} {name}" if tick else "0" for tick in ticks}, _TOP, bottom)
    canvas.line([(across.start, bottom + 2), (across.end, bottom + 2)], opacity=0.7)
    canvas.line([(0, _TOP - 3), (_WIDTH, _TOP - 3)], width=0.5, opacity=0.2)
    canvas.text(_WIDTH - 4, 11, "time since the first start", anchor="end", opacity=0.8)
    found = {span.kind for lane in times.lanes for span in lane.spans}
    kinds = [kind for kind in _KINDS if kind in found]
    legend = Legend([_KINDS[kind] for kind in kinds], _WIDTH)
    legend.draw(canvas, lambda x, y, index: canvas.box(x - 4, y - 4, 9, 8, color=_COLORS[kinds[index]]))


def _description(times: WorkerTimes) -> str:
    parts = [
        f"{worker}: {wording.count(sum(len(lane.spans) for lane in lanes), 'attempt')}, busy "
        f"{wording.duration(sum(lane.busy_ms for lane in lanes) / 1000)}"
        for worker, lanes in times.by_worker.items()
    ]
    if len(times.lanes) > MAX_LANES_DRAWN:
        parts.append(f"the first {MAX_LANES_DRAWN} of {len(times.lanes)} lanes are drawn")
    return f"{'; '.join(parts)}; {wording.duration(times.length_ms / 1000)} from the first start to the last end."
