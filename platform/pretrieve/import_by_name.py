"""Objects that a study names as `my_module:my_object`, imported when they are asked for."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from pretrieve.errors import UserError, nearest_word


def import_module_of(reference: str, *, noun: str, word: str, error: type[UserError]) -> ModuleType:
    """Import the module of `my_module:my_object`, looking in the working directory too.

    Args:
      reference: the whole reference.
      noun: what is referred to, with its article, for messages.
      word: what the object is, for messages.
      error: raised where it cannot be.

    Raises:
      UserError: of the kind `error`; the module has no full name or cannot be found.
    """
    module_name = reference.partition(":")[0]
    if not module_name or module_name.startswith("."):
        raise error(
            f"{noun} in a module must be named as my_module:my_{word} with a full module name, "
            f"but is {reference!r}; put the module's name before the colon"
        )
    try:
        return _import(module_name)
    except ModuleNotFoundError as missing:
        raise error(
            f"the module of {noun.partition(' ')[2]} {reference!r} must be importable, but {missing}; put it into the "
            "working directory or on PYTHONPATH"
        ) from missing


def find_attribute(
    module: ModuleType, name: str, *, word: str, accepts: Callable[[Any], bool], error: type[UserError]
) -> Any:
    """Return an attribute of a module.

    Args:
      module: where it must be.
      name: of the attribute.
      word: what it must be, for messages.
      accepts: tells whether an attribute is one.
      error: raised where none is there.

    Raises:
      UserError: of the kind `error`; no such attribute, or it is something else.
    """
    found = getattr(module, name, None)
    if not accepts(found):
        words = [known for known in vars(module) if not known.startswith("_")]
        raise error(f"module {module.__name__!r} must have a {word} {name!r}, but has none.{nearest_word(name, words)}")
    return found


def _import(module_name: str) -> ModuleType:
    try:
        return importlib.import_module(module_name)
    except ModuleNotFoundError as missing:
        here = str(Path.cwd())
        if missing.name != module_name.partition(".")[0] or here in sys.path:
            raise
    # An installed command has its own folder where `python -m` has the working directory. Ray's workers have it anyway.
    sys.path.append(here)
    importlib.invalidate_caches()
    try:
        return importlib.import_module(module_name)
    except ModuleNotFoundError as missing:
        if missing.name == module_name.partition(".")[0]:
            sys.path.remove(here)
        raise
