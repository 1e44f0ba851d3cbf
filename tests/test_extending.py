"""The examples of docs/extending.md, run as they stand."""

from __future__ import annotations

import importlib
import itertools
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from pretrieve import testing
from pretrieve.components import BACKBONES, FAMILIES, TARGETS

PAGE = (Path(__file__).parents[1] / "docs" / "extending.md").read_text(encoding="utf-8")
SECTIONS = {part.split("\n", 1)[0]: part for part in PAGE.split("\n## ")[1:]}
FAMILY_OF = {"Search strategies": "strategies", "Head starts": "head_starts"}
EXAMPLES = {title: text for title, text in SECTIONS.items() if "```python\n" in text}
NUMBERS = itertools.count()


def family_of(title: str) -> str:
    return FAMILY_OF.get(title, title.lower())


def code_of(title: str) -> str:
    return EXAMPLES[title].split("```python\n")[1].split("```")[0]


@pytest.fixture
def module(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    for family in (BACKBONES, TARGETS):
        monkeypatch.setattr(family, "_registered", dict(family._registered))
    name = f"example_of_extending_{next(NUMBERS)}"
    (tmp_path / f"{name}.py").write_text(code_of(request.param), encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield importlib.import_module(name)
    del sys.modules[name]


def test_every_family_has_a_section_with_an_example_of_at_most_thirty_lines() -> None:
    assert sorted(map(family_of, EXAMPLES)) == sorted(FAMILIES)
    lengths = {title: len(code_of(title).strip().splitlines()) for title in EXAMPLES}
    assert {title: length for title, length in lengths.items() if length > 30} == {}


@pytest.mark.parametrize(("title", "module"), [(title, title) for title in EXAMPLES], indirect=["module"])
def test_an_example_is_a_member_of_its_family_and_passes_its_suite(title: str, module: ModuleType) -> None:
    family = FAMILIES[family_of(title)]
    (suite,) = re.findall(r"Suite: `(\w+)`", EXAMPLES[title])
    check: Any = getattr(testing, suite)
    own = [value for value in vars(module).values() if getattr(value, "__module__", None) == module.__name__]
    if family.form == "class":
        (member,) = [value for value in own if isinstance(value, type)]
        word = f"{module.__name__}:{member.__name__}"
        assert family.find(word) is member
        check(member if suite == "check_objective" else family.build(word, {}))
    else:
        word = f"{module.__name__}:{'tiny' if family is BACKBONES else 'squares'}"
        check(family.find(word))


@pytest.mark.parametrize("title", EXAMPLES)
def test_a_section_names_files_that_exist(title: str) -> None:
    for path in re.findall(r"`((?:platform|selection|dashboards|tests)/[\w/.]+)`", EXAMPLES[title]):
        assert (Path(__file__).parents[1] / path).exists(), path
