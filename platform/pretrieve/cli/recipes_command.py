"""`pretrieve recipes` lists and shows the protocols that a study can build on."""

from __future__ import annotations

from typing import Annotated

import typer

from pretrieve.cli.json_answer import Answer
from pretrieve.cli.terminal import make_table
from pretrieve.printing import echo, make_console


def recipes(
    name: Annotated[
        str | None, typer.Argument(metavar="RECIPE", help="One recipe, to see its settings. Default: list them.")
    ] = None,
) -> Answer:
    """List the recipes: whole protocols, of which a study overrides single settings.

    `pretrieve recipes` lists them, and `pretrieve recipes standard` shows one as YAML. `recipe: standard` in a study
    file takes it; what the study says itself stands: `training: {epochs: 20}` beside it changes the length alone.
    """
    from pretrieve.study.recipes import DEFAULT_RECIPE, recipe_names, recipe_text, with_recipe

    if name is not None:
        echo(recipe_text(name), nl=False)
        return {"name": name, "settings": with_recipe({}, name)}
    table = make_table(("recipe", "what it is"), box=None, pad_edge=False)
    for each in recipe_names():
        table.add_row(each, recipe_text(each).splitlines()[0].removeprefix("# "))
    make_console().print(table)
    echo(f"\nA study that names none takes {DEFAULT_RECIPE}. `pretrieve recipes RECIPE` shows one.")
    return {"recipes": recipe_names(), "default": DEFAULT_RECIPE}
