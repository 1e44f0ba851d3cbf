"""Check the built site: every link and every anchor leads somewhere, and no page fetches anything from a network.

`python docs/check_site.py site` prints what is wrong, page by page, and then ends with status 1.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

FETCHED = {("script", "src"), ("img", "src"), ("iframe", "src"), ("source", "src")}
FETCHED_LINKS = {"stylesheet", "preload", "modulepreload", "icon", "preconnect"}


class Page(HTMLParser):
    """The anchors of a page, the addresses that it links to, and those that a browser fetches to show it."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: list[str] = []
        self.fetched: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value for name, value in attrs if value is not None}
        self.anchors |= {given[name] for name in ("id", "name") if name in given}
        self.fetched += [given[name] for of, name in FETCHED if of == tag and name in given]
        if "href" in given and tag == "link" and FETCHED_LINKS & set(given.get("rel", "").split()):
            self.fetched.append(given["href"])
        if "href" in given and tag == "a":
            self.links.append(given["href"])


def faults(site: Path) -> Iterator[str]:
    """Yield what is wrong, as "page: rule, value"; an address of the web is only wrong where it is fetched.

    404.html is left out: a web server shows it at any address, so its links begin at the site's root.
    """
    pages = {path.resolve(): Page(path) for path in sorted(site.rglob("*.html")) if path.name != "404.html"}
    for path, page in pages.items():
        name = path.relative_to(site.resolve())
        for address in (*page.links, *page.fetched):
            parts = urlsplit(address)
            if parts.scheme or parts.netloc:
                if address in page.fetched and parts.scheme != "data":
                    yield f"{name}: a page must fetch nothing from a network, but fetches {address}"
                continue
            file = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if not file.is_file():
                yield f"{name}: a link must lead to a file of the site, but {address} does not"
            elif parts.fragment and file in pages and unquote(parts.fragment) not in pages[file].anchors:
                yield f"{name}: a link must lead to an anchor that its page has, but {address} does not"


if __name__ == "__main__":
    found = list(faults(Path(sys.argv[1])))
    print("\n".join(found) or "every link leads somewhere")
    sys.exit(bool(found))
