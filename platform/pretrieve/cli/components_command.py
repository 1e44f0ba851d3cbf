"""`pretrieve components` lists what a study can name: the families of selectors, objectives, metrics and others."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from pretrieve.cli.json_answer import Answer
from pretrieve.cli.terminal import make_table
from pretrieve.errors import UserError, nearest_word
from pretrieve.printing import echo, make_console

if TYPE_CHECKING:
    from pretrieve.components import Family
    from pretrieve.components.registry import MemberInfo


def components(
    family: Annotated[
        str | None, typer.Argument(metavar="FAMILY", help="One family, to see its members. Default: list the families.")
    ] = None,
) -> Answer:
    """List what a study can name: selectors, objectives, optimizers, metrics and the other families of components.

    `pretrieve components` lists the families, and `pretrieve components optimizers` the members of one. For each it
    shows the word that a study file writes, where it comes from, what it does, and the hyperparameters that it reads.
    So `training: {optimizer: adamw}` in a study takes another optimizer.

    A member of your own needs no change here. A study names it as `my_module:my_object`, from the working directory or
    PYTHONPATH, or by the word that an installed package declares. `docs/extending.md` shows how to write one, and
    `pretrieve.testing` checks it.
    """
    from pretrieve.components import FAMILIES

    if family is None:
        _print_families(FAMILIES.values())
        return {"families": {name: [each.word for each in of.members()] for name, of in FAMILIES.items()}}
    if family not in FAMILIES:
        raise UserError(
            f"a family must be one of {', '.join(FAMILIES)}, but is {family!r}.{nearest_word(family, FAMILIES)}"
        )
    rows = [_row(FAMILIES[family], info) for info in FAMILIES[family].members()]
    _print_members(FAMILIES[family], rows)
    columns = ("word", "origin", "summary", "hyperparameters")
    return {"family": family, "members": [dict(zip(columns, row, strict=True)) for row in rows]}


def _print_families(families: Iterable[Family]) -> None:
    table = make_table(("family", ">members", "entry points of packages"), box=None, pad_edge=False)
    for family in families:
        table.add_row(family.name, str(len(family.members())), family.group)
    make_console().print(table)
    echo("\n`pretrieve components FAMILY` lists the members of one. How to add your own: docs/extending.md")


def _print_members(family: Family, rows: Sequence[tuple[str, str, str, str]]) -> None:
    headings = ("word", "from", "what it does", *(("hyperparameters",) if any(row[3] for row in rows) else ()))
    table = make_table(headings, box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.columns[0].no_wrap = True
    for row in rows:
        table.add_row(*row[: len(headings)])
    make_console().print(table)
    for line in _further_words(family):
        echo(line)
    echo(
        f"\nOne of your own is {_KINDS[family.form].format(family.contract.__name__)}: name it as "
        f"my_module:my_{family.singular}, or declare a word for it in a package under the entry points {family.group}; "
        f"pretrieve.testing.check_{family.singular} checks it, and docs/extending.md shows how to write one."
    )


_KINDS = {
    "class": "a subclass of {0}",
    "object": "a pretrieve {0}, or a function annotated to return one",
    "function": "a function annotated to return a pretrieve {0}",
}


def _row(family: Family, info: MemberInfo) -> tuple[str, str, str, str]:
    """Describe a member; one of an installed package is imported, and what that raises is shown in its place."""
    from pretrieve.components.registry import first_sentence

    try:
        member = family.find(info.word)
    except Exception as fault:  # a package may raise anything when it is imported
        return info.word, info.origin, f"cannot be used: {fault}", ""
    read = getattr(member, "hyperparameters", ())
    return info.word, info.origin, first_sentence(member) or info.summary, ", ".join(each.name for each in read)


def _further_words(family: Family) -> list[str]:
    """Return what else a study can write where it names a member."""
    from pretrieve.components import BACKBONES, STRATEGIES, TARGETS

    if family is BACKBONES:
        from pretrieve.backbones import further_names

        return [f"\nA study can also name {'; '.join(further_names())}."]
    if family is STRATEGIES:
        example = "ray.tune.search.hyperopt:HyperOptSearch"
        return [f"\nA study can also name a scheduler or a searcher of Ray Tune, such as {example}."]
    if family is TARGETS:
        return ["\nA study can also name a folder, a table or a published set: see `pretrieve targets`."]
    return []
