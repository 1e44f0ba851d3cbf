"""What the commands print: tables, and a study that was run."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from pretrieve.cli.json_answer import Answer
from pretrieve.errors import BudgetUsedUpError, TrialsFailedError
from pretrieve.printing import make_console

if TYPE_CHECKING:
    from rich.table import Table

    from pretrieve.records import StudyRecord
    from pretrieve.study.study import Study


def make_table(headings: Iterable[str], **options: Any) -> Table:
    """Make a table; a heading that begins with ">" is that of a column of numbers, which are aligned right."""
    from rich.table import Table

    table = Table(**options)
    for heading in headings:
        is_number = heading.startswith(">")
        table.add_column(heading.removeprefix(">"), justify="right" if is_number else "left", overflow="fold")
    return table


def run_and_print(study: Study, run: Callable[[], StudyRecord]) -> Answer:
    """Run a study, print it, also where trials failed or its budget was used up first, and return its record."""
    from pretrieve_dashboards import print_study

    report_path = study.settings.folder / "report.html"
    try:
        record = run()
    except (TrialsFailedError, BudgetUsedUpError):
        print_study(study.record(), make_console(), report_path=report_path)
        raise
    print_study(record, make_console(), report_path=report_path)
    return record
