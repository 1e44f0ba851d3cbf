"""The stages of the walk, one file each; see `_base` for their contract."""

from __future__ import annotations

import importlib
import pkgutil
from typing import Any

from pretrieve.stages._base import Stage


def walk_order() -> list[type[Stage[Any]]]:
    """List the stages in the order in which a study goes through them: those that this package's modules define."""
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")
    found = [stage for stage in _subclasses(Stage) if stage.__module__.rpartition(".")[0] == __name__]
    return sorted(found, key=lambda stage: stage.place)


def _subclasses(kind: Any) -> list[type[Stage[Any]]]:
    direct = [each for each in kind.__subclasses__() if "name" in vars(each)]
    return direct + [below for each in kind.__subclasses__() for below in _subclasses(each)]
