"""What the study says of its contrasts, before anything else."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.console import Console, RenderableType
from rich.text import Text

from pretrieve.records import ContrastVerdict, StudyRecord
from pretrieve_dashboards import wording
from pretrieve_dashboards.view_table import Table, numeric, row
from pretrieve_dashboards.views._base import Lines, View
from pretrieve_dashboards.wording import AVERAGE


class Verdicts(View):
    """A sentence for each contrast on the average over the targets, and a table of all contrasts."""

    name = "verdict"
    id = "verdict"
    title = "Verdict"
    link = "Verdict"
    order = 5
    in_notebook = True

    def applies(self, record: StudyRecord) -> bool:
        return record.verdict is not None and bool(record.verdict.contrasts)

    def lists(self, record: StudyRecord) -> Sequence[Lines]:
        return (Lines(sentences(record)),)

    def table(self, record: StudyRecord) -> Table:
        assert record.verdict is not None, "the view applies to records with a verdict"
        caption = (
            f"Differences of test scores in points, paired over {record.verdict.num_repeats} repeats, with the "
            "interval at the level that the correction for several contrasts and looks leaves to each; they hold for "
            "this network, source, pool of images and these targets."
        )
        rows = [
            row(
                f"{each.first} − {each.second}",
                each.target or AVERAGE,
                each.word + (" (exploratory)" if each.is_exploratory else ""),
                numeric(f"{100 * each.mean:+.1f}", is_best=each.word.startswith("better")),
                numeric(interval(each)),
            )
            for each in record.verdict.contrasts
        ]
        return Table("Verdicts", caption, ("contrast", "target", "verdict", "difference", "interval"), rows)

    def printed(self, record: StudyRecord, console: Console) -> Iterable[RenderableType]:
        for each in sentences(record):
            yield Text(each, style="bold")


def primary_contrasts(record: StudyRecord) -> list[ContrastVerdict]:
    """Return the contrasts that a study is asked for first; none where it has no verdict."""
    return [] if record.verdict is None else list(record.verdict.primary)


def sentences(record: StudyRecord) -> list[str]:
    """Return the verdict on each primary contrast for people, with what it would cost to decide an undecided one."""
    return [each.sentence + _cost_to_decide(record, each) for each in primary_contrasts(record)]


def _cost_to_decide(record: StudyRecord, contrast: ContrastVerdict) -> str:
    if record.verdict is None or contrast.repeats_to_decide is None:
        return ""
    runs = [run for cell in record.cells for run in (*cell.trials, *cell.refits)]
    repeat_s = sum(run.seconds for run in runs) / max(len({run.repeat for run in runs}), 1)
    more = contrast.repeats_to_decide - record.verdict.num_repeats
    if more <= 0 or repeat_s == 0:
        return ""
    trained = wording.duration(more * repeat_s)
    return f" {wording.count(more, 'more repeat')} would train for about {trained}, one network at a time."


def interval(verdict: ContrastVerdict) -> str:
    """Write the interval in points with its level; the single differences where there is none."""
    if verdict.low is None or verdict.high is None or verdict.level is None:
        return ", ".join(f"{100 * each:+.1f}" for each in verdict.differences)
    return f"{100 * verdict.low:+.1f} to {100 * verdict.high:+.1f} ({100 * verdict.level:.3g} %)"
