"""Write the pages of the reference that the code decides: the study file, and the command line.

`python docs/write_reference.py` writes both.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, NamedTuple, Union, get_args, get_origin, get_type_hints

import typer
import yaml

from pretrieve.cli.app import app
from pretrieve.components import FAMILIES, VIEWS
from pretrieve.components.hyperparameters import BUILT_IN
from pretrieve.components.registry import first_sentence
from pretrieve.search.grid import GridSettings
from pretrieve.study.recipes import recipe_names, recipe_text
from pretrieve.study.settings import StudySettings
from pretrieve_selection.members import own_settings

FOLDER = Path(__file__).resolve().parent / "reference"

STUDY_FILE = """# Study file

`python docs/write_reference.py` writes this page from the settings in the code. `pretrieve validate` checks a file
against them.

A study file is plain YAML with the fields below. What it leaves out is that of its recipe, and what the recipe
leaves out has the default. Where the recipes differ, the default of each is shown with its name. On the command
line `--set training.epochs=20` replaces a field, with a value in YAML. Paths are relative to the study file;
`storage` is relative to the working directory. An unknown field is an error that names the nearest right word.
"""

GRID = "\nEach hyperparameter has a list of values. A method reads only its own hyperparameters.\n"

WORDS = """
## Words

What a field may name, family by family. A word of your own is `my_module:MyClass`; [Bring your
own](../extending.md) shows how to write one. The settings of a member are written beside its word, as
`optimizer_settings` beside `optimizer`; those of a search strategy stand in `search` itself. Backbones and targets
are listed by `pretrieve components backbones` and `pretrieve targets`.
"""

COMMAND_LINE = """# Command line

`python docs/write_reference.py` writes this page from the commands. `pretrieve COMMAND --help` shows the same.

A command ends with one of these statuses.

| status | means |
|---|---|
| 0 | All that was asked for is done. |
| 1 | A part could not be done, such as a trial that failed or a budget that is used up. The message says which. |
| 2 | A mistake in what was given: an option, a setting, a file. Nothing was computed. |
| 128 + n | Ended by signal n, such as 130 for ctrl-c. |

After 1 and after a signal the same command goes on where it stopped.
"""


class Field(NamedTuple):
    """One field of settings, as a row of a table."""

    name: str
    kind: Any
    default: Any
    is_required: bool


Class = type[Any]


def is_settings(kind: Any) -> bool:
    """Whether a type is a class of settings with fields of its own."""
    return inspect.isclass(kind) and (hasattr(kind, "model_fields") or dataclasses.is_dataclass(kind))


def fields_of(owner: Class) -> list[Field]:
    """List the fields of a class of settings."""
    hints = get_type_hints(owner, include_extras=True)
    if dataclasses.is_dataclass(owner):
        own = dataclasses.fields(owner)
        defaults = [
            each.default if each.default_factory is dataclasses.MISSING else each.default_factory() for each in own
        ]
        return [Field(each.name, hints[each.name], value, False) for each, value in zip(own, defaults, strict=True)]
    members = owner.model_fields.items()
    return [
        Field(name, hints[name], member.get_default(call_default_factory=True), member.is_required())
        for name, member in members
    ]


def meanings(owner: Class) -> dict[str, str]:
    """Return what the docstrings of a class and its bases say of each field, by its name."""
    found: dict[str, str] = {}
    for base in reversed(owner.__mro__):
        text = inspect.cleandoc(base.__doc__ or "").partition("Attributes:\n")[2]
        block = re.split(r"\n\n(?=\S)|\n(?=\S)", text, maxsplit=1)[0]
        for names, meaning in re.findall(r"^  (\w[\w, ]*): (.*(?:\n    .*)*)", block, flags=re.MULTILINE):
            found |= dict.fromkeys(names.split(", "), in_yaml(meaning))
    return found


def in_yaml(meaning: str) -> str:
    """Write Python's None as YAML does, and begin with a capital."""
    text = re.sub(r"\bNone\b", "`null`", " ".join(meaning.split()))
    return text[:1].upper() + text[1:]


def nested(kind: Any) -> Iterator[Class]:
    """Yield the classes of settings that a type is made of."""
    if is_settings(kind):
        yield kind
    for inner in get_args(kind):
        yield from nested(inner)


def sections() -> dict[Class, list[str]]:
    """Return each class of settings with the paths at which a study file has it, in the order of the file."""
    found: dict[Class, list[str]] = {}
    queue: list[tuple[str, Class]] = [("", StudySettings)]
    while queue:
        path, owner = queue.pop(0)
        is_new = owner not in found
        found.setdefault(owner, []).append(path)
        for each in fields_of(owner) if is_new else ():
            queue += [(f"{path}.{each.name}".strip("."), inner) for inner in dict.fromkeys(nested(each.kind))]
    return found


def kind_in_words(kind: Any, link: Mapping[Class, str]) -> str:
    """Say what values a type takes."""
    origin, arguments = get_origin(kind), get_args(kind)
    words = {
        int: "whole number", float: "number", str: "text", bool: "`true` or `false`", Path: "path", Any: "anything"
    }  # fmt: skip
    if kind in words:
        return words[kind]
    if is_settings(kind):
        return f"[fields](#{link[kind]})"
    if origin is Literal:
        return " or ".join(f"`{each}`" for each in arguments)
    if origin in (Union, UnionType):
        return ", or ".join(kind_in_words(each, link) for each in arguments if each is not NoneType)
    if hasattr(kind, "__metadata__"):
        return kind_in_words(kind.__origin__, link) + limits(kind.__metadata__)
    if origin is tuple:
        inner = [each for each in arguments if each is not Ellipsis]
        listed = " and ".join(dict.fromkeys(kind_in_words(each, link) for each in inner))
        return f"list of {listed}" if Ellipsis in arguments else f"list of {len(inner)}: {listed}"
    name, value = arguments
    return f"mapping of {kind_in_words(name, link)} to {kind_in_words(value, link)}"


def limits(metadata: tuple[Any, ...]) -> str:
    """Return the ranges that pydantic checks."""
    signs = {"gt": ">", "ge": "≥", "lt": "<", "le": "≤"}
    flat = [inner for outer in metadata for inner in (getattr(outer, "metadata", None) or [outer])]
    bounds = [
        f"{sign} {value:g}"
        for each in flat
        for name, sign in signs.items()
        if (value := getattr(each, name, None)) is not None
    ]
    least = [f", at least {value}" for each in flat if (value := getattr(each, "min_length", None))]
    most = [f", at most {value} characters" for each in flat if (value := getattr(each, "max_length", None))]
    return (" " if bounds else "") + " and ".join(bounds) + "".join(least + most)


def written(value: Any) -> str:
    """Write a value as in a study file."""
    if isinstance(value, tuple):
        value = list(value)
    if isinstance(value, Path):
        value = str(value)
    text = yaml.safe_dump(value, default_flow_style=True, width=10_000, allow_unicode=True)
    return f"`{text.removesuffix(chr(10)).removesuffix(chr(10) + '...')}`"


def default_in_words(field: Field, path: str) -> str:
    """Say what a field is where a study leaves it out, by each recipe."""
    if field.is_required:
        return "must be given"
    values = {name: looked_up(yaml.safe_load(recipe_text(name)), path, field.default) for name in recipe_names()}
    if any(is_settings(type(value)) or (isinstance(value, dict) and value) for value in values.values()):
        return ""
    texts = {name: written(value) for name, value in values.items()}
    first, *others = dict.fromkeys(texts.values())
    return ", ".join(f"{text} (`{name}`)" for name, text in texts.items()) if others else first


def looked_up(recipe: Any, path: str, default: Any) -> Any:
    """Return the value of a recipe at a path, or a default."""
    for name in path.split("."):
        if not isinstance(recipe, Mapping) or name not in recipe:
            return default
        recipe = recipe[name]
    return recipe


def table(headings: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """Write a table of Markdown."""
    lines = [headings, ("---",) * len(headings), *(tuple(map(escaped, row)) for row in rows)]
    return "\n".join(f"| {' | '.join(row)} |" for row in lines) + "\n"


def escaped(text: str) -> str:
    """Keep Markdown from reading a cell's signs; between backticks only the bar is one."""
    parts = text.replace("|", "\\|").split("`")
    return "`".join(part if inside % 2 else re.sub(r"([<*])", r"\\\1", part) for inside, part in enumerate(parts))


def settings_section(owner: Class, paths: list[str], link: Mapping[Class, str]) -> str:
    """Write the table of one class of settings."""
    said = meanings(owner)
    rows = []
    for each in fields_of(owner):
        kind, default = kind_in_words(each.kind, link), default_in_words(each, f"{paths[0]}.{each.name}".strip("."))
        rows.append((f"`{each.name}`", kind, default, said.get(each.name, "")))
    summary = inspect.cleandoc(owner.__doc__ or "").partition("\n\n")[0]
    text = f"\n## {title(paths)}\n\n{in_yaml(summary)}\n"
    if owner is GridSettings:
        text += GRID
        for each in BUILT_IN:
            default = default_in_words(Field(each.name, None, list(each.grid) or None, False), f"grid.{each.name}")
            rows.append((f"`{each.name}`", f"list of {kind_in_words(each.type, link)}", default, f"{each.summary}."))
    return text + "\n" + table(("field", "takes", "default", "means"), rows)


def title(paths: list[str]) -> str:
    """Name a section by the places of its fields."""
    return ", ".join(paths) if paths != [""] else "The study"


def study_file() -> str:
    """Return the page of the study file."""
    found = sections()
    link = {owner: re.sub(r"[^\w -]", "", title(paths).lower()).replace(" ", "-") for owner, paths in found.items()}
    text = STUDY_FILE + "".join(settings_section(owner, paths, link) for owner, paths in found.items()) + WORDS
    for family in (each for each in FAMILIES.values() if each.form == "class" and each is not VIEWS):
        rows = []
        for word, member in sorted(family.built_in().items()):
            read = ", ".join(f"`{each.name}`" for each in getattr(member, "hyperparameters", ()))
            own = ", ".join(f"`{name}`" for name in own_settings(member))
            rows.append((f"`{word}`", first_sentence(member), own, read))
        text += f"\n### {family.name}\n\n" + table(("word", "what it does", "settings", "hyperparameters"), rows)
    return text


def commands(command: Any, words: str) -> Iterator[tuple[str, Any]]:
    """Yield a command and those below it, each with what is typed to call it."""
    yield words, command
    for name, inner in getattr(command, "commands", {}).items():
        yield from commands(inner, f"{words} {name}")


def command_section(words: str, command: Any) -> str:
    """Write the help of one command. Typer's own layout is not used: it changes from version to version."""
    shown = [each for each in command.params if not getattr(each, "hidden", False)]
    arguments = [each for each in shown if each.param_type_name == "argument"]
    names = [name if each.required else f"[{name}]" for each in arguments for name in [parameter_name(each)]]
    text = f"\n## {words}\n\n    {' '.join([words, *names])}\n\n{inspect.cleandoc(command.help or '')}\n"
    rows = [(f"`{parameter_name(each)}`", parameter_default(each), each.help or "") for each in shown]
    return text + ("\n" + table(("argument or option", "default", "means"), rows) if rows else "")


def parameter_name(parameter: Any) -> str:
    """Return what is typed for an argument or an option."""
    if parameter.param_type_name == "argument":
        return f"{parameter.metavar or parameter.name.upper()}{'…' if parameter.nargs == -1 else ''}"
    value = "" if parameter.is_flag else f" {parameter.metavar or parameter.name.upper()}"
    return f"{', '.join(parameter.opts)}{value}"


def parameter_default(parameter: Any) -> str:
    """Return what an argument or an option is where it is left out; nothing where its help says it."""
    if parameter.required:
        return "must be given"
    return "" if parameter.default is None or parameter.is_flag else f"`{parameter.default}`"


def command_line() -> str:
    """Return the page of the command line."""
    return COMMAND_LINE + "".join(command_section(*each) for each in commands(typer.main.get_command(app), "pretrieve"))


PAGES = {"study-file.md": study_file, "command-line.md": command_line}

if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name, page in PAGES.items():
        (FOLDER / name).write_text(page(), encoding="utf-8")
