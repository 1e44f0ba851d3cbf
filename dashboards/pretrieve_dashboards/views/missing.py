"""The results that a study does not have yet, in words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.text import Text

from pretrieve.records import StudyRecord
from pretrieve_dashboards.missing_results import missing_parts
from pretrieve_dashboards.views._base import Lines, View

NUM_OPEN, MAX_PRINTED, MAX_LISTED = 5, 10, 200


class Missing(View):
    """The cells without a result, shown above everything else."""

    name = "missing"
    id = "missing"
    title = "What is missing"
    order = 15
    style = "notice"

    def applies(self, record: StudyRecord) -> bool:
        return bool(missing_parts(record))

    def lists(self, record: StudyRecord) -> Sequence[Lines]:
        parts = missing_parts(record)
        others = [*parts[NUM_OPEN:MAX_LISTED], *_and_more(parts, MAX_LISTED)]
        return (Lines(parts[:NUM_OPEN]), *([Lines(others, f"and {len(parts) - NUM_OPEN} more")] if others else []))

    def printed(self, record: StudyRecord, console: Console) -> Iterable[Text]:
        parts = missing_parts(record)
        more = [f"{line}; the report lists them all" for line in _and_more(parts, MAX_PRINTED)]
        yield Text("\nMissing", style="bold yellow")
        yield from (Text(f"  {line}") for line in (*parts[:MAX_PRINTED], *more))


def _and_more(parts: Sequence[str], at_most: int) -> list[str]:
    return [f"and {len(parts) - at_most} more"] if len(parts) > at_most else []
