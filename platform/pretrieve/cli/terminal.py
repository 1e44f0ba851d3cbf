"""What the commands print on: a console, and tables."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rich.console import Console
from rich.table import Table


def make_console() -> Console:
    """Make a console that prints `[brackets]` and `:colons:` in names as they are.

    Without a terminal, it is wide enough for a table of methods by eight targets.
    """
    plain: dict[str, Any] = {"markup": False, "emoji": False, "highlight": False}
    terminal = Console(**plain)
    return terminal if terminal.is_terminal else Console(width=max(terminal.width, 120), **plain)


def make_table(headings: Iterable[str], **options: Any) -> Table:
    """Make a table; a heading that begins with ">" is that of a column of numbers, which are aligned right."""
    table = Table(**options)
    for heading in headings:
        is_number = heading.startswith(">")
        table.add_column(heading.removeprefix(">"), justify="right" if is_number else "left", overflow="fold")
    return table
