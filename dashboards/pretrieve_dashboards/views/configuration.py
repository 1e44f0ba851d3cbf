"""The addresses of a study's record and models, and all its settings."""

from __future__ import annotations

import json
from collections.abc import Sequence

from markupsafe import Markup

from pretrieve.records import StudyRecord
from pretrieve.tracking.address import without_password
from pretrieve_dashboards import wording
from pretrieve_dashboards.view_table import Table, TableCell, row
from pretrieve_dashboards.views._base import Lines, View


class Configuration(View):
    """The addresses of the record and its models, and all settings."""

    name = "configuration"
    id = "configuration"
    title = "Configuration and record"
    link = "Configuration"
    order = 90

    def table(self, record: StudyRecord) -> Table:
        code = Markup("<code>{}</code>")
        rows = [
            row("MLflow store", code.format(without_password(record.tracking_uri))),
            row("Experiment", code.format(record.name) + f" ({record.experiment_id})"),
            row("Study run", TableCell(record.run_id, record.run_id)),
            row("To open it", code.format(wording.ui_command(record.tracking_uri))),
            *(row(f"Model for {target}", code.format(uri)) for target, uri in record.models.items()),
        ]
        caption = "Where the record of the study is stored."
        return Table("Where the record is", caption, (), rows, style="facts")

    def lists(self, record: StudyRecord) -> Sequence[Lines]:
        settings = json.dumps(record.settings, indent=2, ensure_ascii=False, default=str)
        return (Lines(without_password(settings).splitlines(), "The whole configuration", is_code=True),)
