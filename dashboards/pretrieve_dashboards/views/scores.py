"""The test scores of a study as a table and as a figure, and how to read their intervals."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.console import Console, RenderableType
from rich.text import Text

from pretrieve.records import StudyRecord
from pretrieve_dashboards import wording
from pretrieve_dashboards.choices import chosen_once
from pretrieve_dashboards.figures import dot_plot
from pretrieve_dashboards.table_of_scores import BOLD, ScoreTable, score_table, table_parts
from pretrieve_dashboards.view_table import Table, numeric, row
from pretrieve_dashboards.views._base import Figure, View

STUDENT_T_975 = {3: "4.30", 4: "3.18", 5: "2.78", 10: "2.26"}
"""97.5% quantile of Student's t by number n of refits, with n − 1 degrees of freedom."""


class Scores(View):
    """One row per method and one column per target: mean test score and its 95% interval."""

    name = "scores"
    id = "table"
    title = "Test scores"
    link = "Table"
    order = 10
    in_notebook = True

    def table(self, record: StudyRecord) -> Table:
        return score_table(record).shown()

    def note(self, record: StudyRecord) -> str:
        return chosen_once(record)

    def figures(self, record: StudyRecord) -> Sequence[Figure]:
        caption = "The same numbers: a dot is the mean of the refits, the line its 95% interval, cut at 0 and 100%."
        return (Figure(dot_plot(score_table(record)), caption, "wide"),)

    def printed(self, record: StudyRecord, console: Console) -> Iterable[RenderableType]:
        table = score_table(record)
        state = "" if record.is_finished else "  (unfinished)"
        yield Text(f"{record.name}: {record.backbone}, test score in %{state}", style="bold")
        yield from table_parts(table, console)
        yield Text(" ".join(filter(None, (_legend(record, table), chosen_once(record)))), style="dim")


class Reading(View):
    """What the ± of a score covers, and what it does not cover."""

    name = "reading"
    id = "reading"
    title = "How to read the interval"
    link = "How to read it"
    order = 80

    def text(self, record: StudyRecord) -> str:
        return (
            "Every method is searched over the same grid on the validation images. Its best configuration is then "
            "trained again n times, each time with another seed, and tested once each. The interval is mean ± t · s / "
            "√n, with s the standard deviation of the n scores and t the 97.5% quantile of Student's t with n − 1 "
            "degrees of freedom.\n\n"
            "It shows how much the score varies with the seed of heads, order and crops. It does not show how much it "
            "would vary with other images, and two methods whose intervals overlap may still differ. Below "
            "three refits there is no interval, and the scores are listed. The average has none, because the targets "
            "are not a random sample."
        )

    def table(self, record: StudyRecord) -> Table:
        head = ("refits n", *map(str, STUDENT_T_975))
        rows = [row("t", *map(numeric, STUDENT_T_975.values()))]
        return Table("Quantiles of Student's t", "Few refits make wide intervals.", head, rows)


def _legend(record: StudyRecord, table: ScoreTable) -> str:
    num_tested = {sum(refit.score is not None for refit in cell.refits) for cell in record.cells} - {0}
    refits = f" over {min(num_tested)}–{max(num_tested)} refits" if len(num_tested) > 1 else ""
    if len(num_tested) == 1:
        refits = f" over {wording.count(min(num_tested), 'refit')}"
    targets: dict[str, list[str]] = {}
    for target in record.targets:
        targets.setdefault(wording.metric(target), []).append(target.name)
    of_targets = [f" for {', '.join(names)}" if len(targets) > 1 else "" for names in targets.values()]
    parts = [f"the {metric}{names}" for metric, names in zip(targets, of_targets, strict=True)]
    score = "" if set(table.metrics.values()) == {"top1"} else f" The score is {' and '.join(parts)}."
    if all(cell.test_ci95 is None for cell in table.cells.values()):
        return f"The score of each refit: fewer than three have no interval; {BOLD}.{score}"
    return f"± is half of the 95% interval (Student's t{refits}); {BOLD}.{score}"
