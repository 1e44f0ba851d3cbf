"""The project's papers are there, and agree on version, date and licence."""

from __future__ import annotations

import hashlib
import re
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

import pretrieve

APACHE_2_0 = "cfc7749b96f63bd31c3c42b5c471bf756814053e847c10f3eb003417bc523d30"
"""SHA-256 of https://www.apache.org/licenses/LICENSE-2.0.txt."""


@pytest.fixture
def citation(repository: Path) -> dict[str, Any]:
    return dict(yaml.safe_load((repository / "CITATION.cff").read_text(encoding="utf-8")))


@pytest.fixture
def build_settings(repository: Path) -> str:
    return (repository / "pyproject.toml").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["README.md", "LICENSE", "CONTRIBUTING.md", "CITATION.cff", "CHANGELOG.md"])
def test_a_paper_is_there_and_not_empty(repository: Path, name: str) -> None:
    assert (repository / name).read_text(encoding="utf-8").strip()


def test_the_licence_is_apache_2_everywhere(repository: Path, citation: dict[str, Any], build_settings: str) -> None:
    assert hashlib.sha256((repository / "LICENSE").read_bytes()).hexdigest() == APACHE_2_0
    assert citation["license"] == "Apache-2.0"
    assert '\nlicense = "Apache-2.0"\nlicense-files = ["LICENSE"]\n' in build_settings


def test_the_version_has_one_source_and_every_paper_has_it(
    repository: Path, citation: dict[str, Any], build_settings: str
) -> None:
    version = pretrieve.__version__
    assert re.fullmatch(r"\d+\.\d+\.\d+", version)
    assert '\ndynamic = ["version"]\n' in build_settings
    assert '\n[tool.hatch.version]\npath = "platform/pretrieve/__init__.py"\n' in build_settings
    command = [sys.executable, "-m", "pretrieve", "--version"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == f"pretrieve {version}\n"
    assert citation["version"] == version
    for path in (repository / "README.md", *(path for path in (repository / "jobs").rglob("*") if path.is_file())):
        tags = re.findall(r"pretrieve[:-](\d+\.\d+\.\d+)", path.read_text(encoding="utf-8"))
        assert set(tags) <= {version}, path


def test_the_changelog_is_ready_for_a_tag(repository: Path, citation: dict[str, Any]) -> None:
    """In the form of Keep a Changelog: what is not released comes first, then the version with its day."""
    text = (repository / "CHANGELOG.md").read_text(encoding="utf-8")
    unreleased, latest, *_ = re.findall(r"^## (.*)$", text, flags=re.MULTILINE)
    assert unreleased == "[Unreleased]"
    assert latest == f"[{pretrieve.__version__}] - {citation['date-released']}"
    kinds = set(re.findall(r"^### (.*)$", text, flags=re.MULTILINE))
    assert kinds <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}


def test_the_citation_satisfies_its_published_schema_and_names_the_paper(
    repository: Path, citation: dict[str, Any]
) -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.citation-file-format"]
    out = subprocess.run([*command, repository / "CITATION.cff"], capture_output=True, text=True, check=False)
    assert out.returncode == 0, out.stdout + out.stderr
    (paper,) = citation["references"]
    assert paper["title"] == "Improved Fine-Tuning by Better Leveraging Pre-Training Data"
    assert (paper["authors"][0]["family-names"], paper["year"]) == ("Liu", 2022)


def test_every_file_is_listed_as_its_docstring_says(repository: Path) -> None:
    as_it_should_be = runpy.run_path(str(repository / "docs" / "list_files.py"))["page"]()
    written = (repository / "docs" / "files.md").read_text(encoding="utf-8")
    assert written == as_it_should_be, "run: python docs/list_files.py"
