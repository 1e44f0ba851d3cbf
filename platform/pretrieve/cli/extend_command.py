"""`pretrieve extend`: add repeats to a study until its contrasts are decided."""

from __future__ import annotations

import re
from typing import Annotated, Literal

import typer

from pretrieve.cli.json_answer import Answer
from pretrieve.cli.study_argument import Overrides, Storage, StudyFile, load_study_argument
from pretrieve.cli.terminal import run_and_print
from pretrieve.errors import UserError

SECONDS = {"s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0}


def extend(
    study: StudyFile,
    until: Annotated[str, typer.Option(help="`decided`, or a number of repeats.")] = "decided",
    budget: Annotated[
        str | None, typer.Option(metavar="TIME", help="Wall time that this command may take: `5h`, `30min`.")
    ] = None,
    overrides: Overrides = None,
    storage: Storage = None,
) -> Answer:
    """Run a study and add repeats until each contrast is decided, then print its table.

    It is looked at after 5, 10, 20, 30, 60 and 100 repeats, and each look has a part of the level of 5 %. After an
    interruption, or with a further budget, the same command goes on. `pretrieve plan` says what repeats cost.
    """
    loaded = load_study_argument(study, overrides, storage)
    goal, budget_s = read_until(until), None if budget is None else read_seconds(budget)
    return run_and_print(loaded, lambda: loaded.extend(goal, budget_s=budget_s))


def read_until(word: str) -> Literal["decided"] | int:
    """Read when an extension ends.

    >>> read_until("decided"), read_until("20")
    ('decided', 20)
    """
    if word == "decided":
        return "decided"
    if not word.isdecimal():
        raise UserError(f"--until must be `decided` or a number of repeats, but is {word!r}; give such as --until 20")
    return int(word)


def read_seconds(text: str) -> float:
    """Read a time with its unit in seconds.

    >>> read_seconds("5h"), read_seconds("1.5 min"), read_seconds("90s")
    (18000.0, 90.0, 90.0)
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(s|min|h|d)", text.strip())
    if found is None or not float(found[1]):
        raise UserError(f"--budget must be a time above 0 in s, min, h or d, but is {text!r}; give such as --budget 5h")
    return float(found[1]) * SECONDS[found[2]]
