"""The tables that the commands print."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rich.table import Table


def make_table(headings: Iterable[str], **options: Any) -> Table:
    """Make a table; a heading that begins with ">" is that of a column of numbers, which are aligned right."""
    table = Table(**options)
    for heading in headings:
        is_number = heading.startswith(">")
        table.add_column(heading.removeprefix(">"), justify="right" if is_number else "left", overflow="fold")
    return table
