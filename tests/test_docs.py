"""The documentation site: its reference is that of the code, its settings and messages exist, and faults are found."""

from __future__ import annotations

import re
import runpy
from pathlib import Path
from typing import Any

import pytest
import yaml

import pretrieve
import pretrieve_selection
from pretrieve.study.settings import StudySettings

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
SITE_PAGES = sorted(page for page in DOCS.rglob("*.md") if page.parent.name != "decisions")
REFERENCE: dict[str, Any] = runpy.run_path(str(DOCS / "write_reference.py"))
BASE = {
    "name": "base",
    "source": {"folder": "source"},
    "targets": [{"folder": "target"}],
    "backbone": {"name": "small_resnet", "pretrain": {}},
}


@pytest.mark.parametrize("name", REFERENCE["PAGES"])
def test_the_reference_is_as_the_code_says(name: str) -> None:
    written = (DOCS / "reference" / name).read_text(encoding="utf-8")
    assert written == REFERENCE["PAGES"][name](), "run: python docs/write_reference.py"


def test_every_field_of_a_study_file_has_a_meaning() -> None:
    silent = {
        f"{owner.__name__}.{each.name}"
        for owner in REFERENCE["sections"]()
        for each in REFERENCE["fields_of"](owner)
        if each.name not in REFERENCE["meanings"](owner)
    }
    assert silent == set(), "say in the docstring, under Attributes, what they are"


def test_every_public_name_is_on_the_page_of_python() -> None:
    page = (DOCS / "reference" / "python.md").read_text(encoding="utf-8")
    shown = {path.rpartition(".")[2] for path in re.findall(r"^::: ([\w.]+)$", page, flags=re.MULTILINE)}
    words_of_types = {"Need", "TransportMethod", "Unit"}  # literals, which signatures spell out
    assert shown == {*pretrieve.__all__, *pretrieve_selection.__all__} - {"__version__"} - words_of_types


def test_every_page_is_in_the_navigation() -> None:
    navigation = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").partition("\nnav:")[2]
    listed = re.findall(r"(\S+\.md)$", navigation, flags=re.MULTILINE)
    assert sorted(listed) == sorted([*(str(page.relative_to(DOCS)) for page in SITE_PAGES), "decisions/README.md"])


def settings_in(page: Path) -> list[dict[str, Any]]:
    """List the settings that a page shows: its blocks of YAML, and words such as `margin: 1.0` within its sentences."""
    text = page.read_text(encoding="utf-8")
    blocks = re.findall(r"^```yaml\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    fields = "|".join(StudySettings.model_fields)
    words = re.findall(rf"`((?:{fields}): [^`\n]+)`", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL))
    return [yaml.safe_load(each) for each in (*blocks, *words) if "…" not in each and "my_module" not in each]


EXAMPLES = [
    (page.name, each)
    for page in (*(DOCS / "start").glob("*.md"), *(DOCS / "guides").glob("*.md"), *(DOCS / "concepts").glob("*.md"))
    for each in settings_in(page)
]


@pytest.mark.parametrize(("page", "fields"), EXAMPLES, ids=[f"{page}: {fields}"[:70] for page, fields in EXAMPLES])
def test_settings_that_a_page_shows_are_valid(page: str, fields: dict[str, Any]) -> None:
    StudySettings.model_validate(BASE | fields, context={"needs_files": False})


def test_the_pages_show_settings() -> None:
    assert len(EXAMPLES) > 20


def test_messages_that_troubleshooting_explains_are_those_of_the_code() -> None:
    sources = [path for root in ("platform", "selection", "dashboards") for path in (ROOT / root).rglob("*.py")]
    joined = re.sub(r"\"\s*\n\s*f?\"", "", "\n".join(path.read_text(encoding="utf-8") for path in sources))
    page = (DOCS / "guides" / "troubleshooting.md").read_text(encoding="utf-8")
    messages = re.findall(r"^\| (`.+?) \|", page, flags=re.MULTILINE)
    parts = [part.strip() for each in messages for part in re.split(r"`|…", each) if part.strip()]
    assert len(parts) > 30
    assert [part for part in parts if part not in joined] == []


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ('<a href="gone.html">', "must lead to a file of the site, but gone.html does not"),
        ('<a href="..">', "must lead to a file of the site, but .. does not"),
        ('<a href="other.html#gone">', "must lead to an anchor that its page has, but other.html#gone does not"),
        ('<script src="https://a.b/c.js"></script>', "must fetch nothing from a network, but fetches https://a.b/c.js"),
        ('<link rel="stylesheet" href="//a.b/c.css">', "must fetch nothing from a network, but fetches //a.b/c.css"),
        ('<a href="other.html#there">, <a href="https://a.b">, <a href="#top" id="top">', None),
    ],
)
def test_faults_of_a_built_site_are_found(tmp_path: Path, body: str, fault: str | None) -> None:
    (tmp_path / "page.html").write_text(body, encoding="utf-8")
    (tmp_path / "other.html").write_text('<h2 id="there">', encoding="utf-8")
    found = list(runpy.run_path(str(DOCS / "check_site.py"))["faults"](tmp_path))
    assert len(found) == (fault is not None)
    assert fault is None or fault in found[0]
