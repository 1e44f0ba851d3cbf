"""The documentation site as a reader opens it from the disk, without a network."""

from __future__ import annotations

import runpy
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.clusters


@pytest.fixture(scope="module")
def site(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the site as `make docs` does, in a folder of its own."""
    folder = tmp_path_factory.mktemp("docs")
    shutil.copy(repository / "mkdocs.yml", folder)
    for name in ("docs", "platform", "selection", "dashboards"):
        shutil.copytree(repository / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    subprocess.run([Path(sys.executable).parent / "zensical", "build", "--strict"], cwd=folder, check=True)
    return folder / "site"


@pytest.fixture
def page(browser: Browser, site: Path) -> Page:
    """Open the glossary from the disk, where nothing can be fetched from a network."""
    opened = browser.new_context(offline=True, viewport={"width": 1280, "height": 900}).new_page()
    opened.goto((site / "glossary.html").as_uri())
    return opened


def test_no_link_is_broken(repository: Path, site: Path) -> None:
    assert list(runpy.run_path(str(repository / "docs" / "check_site.py"))["faults"](site)) == []


def test_the_search_finds_pages_from_the_disk(page: Page) -> None:
    """In a hidden frame, as browsers start no worker for a page on a disk."""
    page.get_by_role("button", name="Search").first.click()
    words = page.get_by_role("combobox")
    words.press_sequentially("checkpoint", delay=50)
    found = page.get_by_role("option").filter(has_text="checkpoint")
    found.first.wait_for(timeout=20_000)
    assert words.input_value() == "checkpoint"
    words.fill("zzzqqq")
    page.get_by_role("option").first.wait_for(state="detached", timeout=20_000)


def test_links_lead_on_from_page_to_page(page: Page) -> None:
    page.get_by_role("link", name="Reading a verdict").first.click()
    page.get_by_role("heading", name="Reading a verdict").wait_for(timeout=20_000)
    assert page.url.endswith("start/reading-a-verdict.html")
