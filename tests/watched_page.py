"""A page of a real browser, and what went wrong on it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Browser, ConsoleMessage, Page


@dataclass
class Watched:
    """A page, and what its console and its requests complained of."""

    page: Page
    complaints: list[str] = field(default_factory=list)

    @staticmethod
    def open(browser: Browser, *, width: int, height: int = 900, scheme: str = "light") -> Watched:
        """Open an empty page of a width and a colour scheme."""
        context = browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme=scheme,  # type: ignore[arg-type]  # a parameter of the tests
        )
        watched = Watched(context.new_page())
        page, told = watched.page, watched.complaints
        page.on("console", lambda message: told.append(message.text) if _is_error(message) else None)
        page.on("pageerror", lambda error: told.append(str(error)))
        page.on("response", lambda reply: told.append(f"{reply.status} {reply.url}") if reply.status >= 400 else None)
        page.on("requestfailed", lambda request: told.append(f"{request.url}: {request.failure}"))
        return watched


def _is_error(message: ConsoleMessage) -> bool:
    """Tell an error of the page's own; what was not found is told with its address by the reply."""
    return message.type == "error" and not message.text.startswith("Failed to load resource")


def look(browser: Browser, report: Path, title: str, width: int, scheme: str) -> None:
    """Open a page and check that it fits, complains of nothing, and has no serious fault of accessibility."""
    from axe_playwright_python.sync_playwright import Axe

    watched = Watched.open(browser, width=width, scheme=scheme)
    page = watched.page
    page.goto(report.as_uri())
    assert page.title() == title
    assert page.evaluate("document.documentElement.scrollWidth") <= width, "nothing sticks out of the page"
    found = Axe().run(page).response["violations"]
    assert [
        (fault["id"], fault["nodes"][0]["html"]) for fault in found if fault["impact"] in ("serious", "critical")
    ] == []
    assert watched.complaints == []
