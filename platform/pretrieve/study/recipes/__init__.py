"""Recipes: whole protocols as readable YAML, one file each, of which a study overrides single settings."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from typing import Any

import yaml

from pretrieve.errors import UserError, nearest_word

Fields = dict[str, Any]

DEFAULT_RECIPE = "standard"
"""Of a study that names none."""

LENGTHS = ("epochs", "steps", "min_steps")
"""Ways to give the length of a training: a study that gives one of them takes none from its recipe.

`min_steps` stands beside `epochs`, so a study that gives it alone keeps the recipe's epochs."""


def recipe_names() -> list[str]:
    """List the recipes.

    >>> recipe_names()
    ['paper2022', 'standard']
    """
    return sorted(file.name.removesuffix(".yaml") for file in files(__name__).iterdir() if file.name.endswith(".yaml"))


def recipe_text(name: str) -> str:
    """Return the YAML of a recipe; its first line is a comment that says what it is for.

    Raises:
      UserError: there is no such recipe.
    """
    if name not in recipe_names():
        names = recipe_names()
        raise UserError(f"a recipe must be one of {', '.join(names)}, but is {name!r}.{nearest_word(str(name), names)}")
    return (files(__name__) / f"{name}.yaml").read_text(encoding="utf-8")


def with_recipe(fields: Mapping[str, Any], name: str) -> Fields:
    """Return a study's fields with what its recipe adds: the study's own value stands wherever it gives one.

    Mappings are joined field by field, down to single settings; lists are replaced as a whole. Where a study names
    another member than the recipe, such as another optimizer, it does not take that member's settings.

    Raises:
      UserError: there is no such recipe.

    >>> with_recipe({"training": {"steps": 50}, "grid": {"lr": [0.01]}}, "standard")["training"]["head_start"]
    'from_probe'
    """
    return _joined(yaml.safe_load(recipe_text(name)), fields)


def _joined(recipe: Mapping[str, Any], own: Mapping[str, Any]) -> Fields:
    left_out = {f"{name}_settings" for name, value in own.items() if name in recipe and value != recipe[name]}
    given = [name for name in LENGTHS if name in own]
    if given:
        left_out |= {name for name in LENGTHS if given != ["min_steps"] or name != "epochs"}
    joined = {name: value for name, value in recipe.items() if name not in left_out}
    for name, value in own.items():
        inner = joined.get(name)
        both = isinstance(inner, Mapping) and isinstance(value, Mapping)
        joined[name] = _joined(inner, value) if both and inner is not None else value
    return joined
