"""The differences between a study's settings and the paper's protocol, as a table."""

from __future__ import annotations

from pretrieve.records import StudyRecord
from pretrieve_dashboards.protocol import deviations
from pretrieve_dashboards.view_table import Table, row
from pretrieve_dashboards.views._base import View


class Protocol(View):
    """The differences from the paper's protocol, which explain differences from its numbers."""

    name = "protocol"
    id = "protocol"
    title = "Differences from the paper's protocol"
    link = "Differences from the paper"
    order = 70

    def applies(self, record: StudyRecord) -> bool:
        return bool(deviations(record))

    def table(self, record: StudyRecord) -> Table:
        return Table(
            "Deviations from the paper's protocol",
            "How this study differs from the paper's (section 4.1 and appendix A). Scores may differ for this reason.",
            ("part", "point", "the paper", "this study"),
            [row(*each) for each in deviations(record)],
        )
