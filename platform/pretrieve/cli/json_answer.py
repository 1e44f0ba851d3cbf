"""`--json` for every command: one object on standard output, in one shape, and nothing else there."""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Callable, Mapping
from contextlib import nullcontext, redirect_stdout
from functools import wraps
from math import isfinite
from typing import Annotated, Any, Protocol

import typer

from pretrieve.printing import echo


class JsonRecord(Protocol):
    """A record that gives its JSON values, with its own `record` and `version`."""

    def to_json(self) -> dict[str, Any]: ...


Answer = Mapping[str, Any] | JsonRecord

VERSION = 1
"""Raise it when a field of an answer is taken away or comes to mean something else."""

_AsJson = Annotated[
    bool,
    typer.Option("--json", help="Print one JSON object, for a program to read; all else goes to standard error."),
]


def answering_json(command: Callable[..., Answer]) -> Callable[..., None]:
    """Give a command the option `--json`; what the command returns is then printed, with its name as `record`.

    A record that it returns keeps its own name and version. A command ends with the `exit_status` of its answer, if it
    has one.
    """
    name = command.__name__.rstrip("_")

    @wraps(command)
    def answer(*words: Any, as_json: bool = False, **options: Any) -> None:
        with redirect_stdout(sys.stderr) if as_json else nullcontext():
            found = command(*words, **options)
        if as_json:
            values = {"record": name, "version": VERSION, **_plain(found)}
            echo(json.dumps(values, indent=2, allow_nan=False, default=str))
        if isinstance(found, Mapping) and found.get("exit_status"):
            raise typer.Exit(found["exit_status"])

    option = inspect.Parameter("as_json", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=_AsJson)
    own = inspect.signature(command, eval_str=True)
    answer.__signature__ = own.replace(parameters=[*own.parameters.values(), option])  # type: ignore[attr-defined]
    answer.__annotations__ = {**command.__annotations__, "as_json": _AsJson}
    return answer


def _plain(value: Any) -> Any:
    """Turn records into their values, and numbers that JSON lacks, as a diverged trial reports them, into null."""
    if hasattr(value, "to_json"):
        return _plain(value.to_json())
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return None if isinstance(value, float) and not isfinite(value) else value
