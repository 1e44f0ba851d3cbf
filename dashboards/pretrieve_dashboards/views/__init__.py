"""The views of a study. Every `View` defined in a file of this folder is shown; no list names them."""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules

from pretrieve_dashboards.view_table import Table, TableCell
from pretrieve_dashboards.views._base import Figure, Lines, View

__all__ = ["Figure", "Lines", "Table", "TableCell", "View", "all_views"]


def all_views() -> tuple[View, ...]:
    """Create each view that the files of this folder define, in the order in which they are shown."""
    names = [f"{__name__}.{module.name}" for module in iter_modules(__path__) if not module.name.startswith("_")]
    classes = [value for name in names for value in vars(import_module(name)).values() if isinstance(value, type)]
    views = [each() for each in dict.fromkeys(classes) if issubclass(each, View) and each is not View]
    return tuple(sorted(views, key=lambda view: (view.order, view.title, type(view).__name__)))
