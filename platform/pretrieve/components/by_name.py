"""Importing the objects that a study names as `my_module:my_object`."""

from __future__ import annotations

import importlib
import sys
import traceback
from pathlib import Path
from types import ModuleType
from typing import Any, get_type_hints

from pretrieve.errors import UserError
from pretrieve.interruption import Interrupted


def import_module_of(reference: str, *, noun: str, error: type[UserError]) -> ModuleType:
    """Import the module of `my_module:my_object`, looking in the working directory too.

    Args:
      reference: module and object.
      noun: the kind of object with its article, for messages.
      error: class of the error to raise.

    Raises:
      UserError: of the class `error`; the module has no full name or cannot be found.
    """
    module_name = reference.partition(":")[0]
    if not module_name or module_name.startswith("."):
        raise error(
            f"{noun} in a module must be named as my_module:my_object with a full module name, but "
            f"is {reference!r}; put the module's name before the colon"
        )
    try:
        return _import(module_name)
    except ModuleNotFoundError as missing:
        raise error(
            f"the module of {noun.partition(' ')[2]} {reference!r} must be importable, but {missing}; put it into the "
            "working directory or on PYTHONPATH"
        ) from missing
    except (UserError, Interrupted):
        raise
    except (Exception, SystemExit) as fault:  # a script without a guard for its main part may end the process
        place = traceback.extract_tb(fault.__traceback__)[-1]
        raise error(
            f"the module of {noun.partition(' ')[2]} {reference!r} must be importable, but ends in "
            f"{type(fault).__name__}: {fault} ({place.filename}, line {place.lineno}); mend it"
        ) from fault


def declares(found: Any, kind: type) -> bool:
    """Return whether an object is a subclass of `kind`, or a function annotated to return one; calls nothing.

    A study file may name anything that can be called, even `os:system`, so only objects that declare themselves in this
    way may be called.

    >>> def number() -> int: ...
    >>> declares(number, int), declares(int, int), declares(print, int), declares(3, int)
    (True, True, False, False)
    """
    if isinstance(found, type):
        return issubclass(found, kind)
    if not callable(found):
        return False
    try:
        returned = get_type_hints(found).get("return")
    except (TypeError, NameError, AttributeError):  # of a built-in, or of names known to type checkers alone
        returned = getattr(found, "__annotations__", {}).get("return")
    if isinstance(returned, str):
        return returned.strip("'\" ").rpartition(".")[2] == kind.__name__
    return isinstance(returned, type) and issubclass(returned, kind)


def _import(module_name: str) -> ModuleType:
    try:
        return importlib.import_module(module_name)
    except ModuleNotFoundError as missing:
        here = str(Path.cwd())
        if missing.name != module_name.partition(".")[0] or here in sys.path:
            raise
    # `python -m` and Ray's workers search the working directory; an installed command searches its own folder instead.
    sys.path.append(here)
    importlib.invalidate_caches()
    try:
        return importlib.import_module(module_name)
    except ModuleNotFoundError as missing:
        if missing.name == module_name.partition(".")[0]:
            sys.path.remove(here)
        raise
