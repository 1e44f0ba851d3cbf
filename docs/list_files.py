"""Write files.md: every product file, with the first paragraph of its docstring."""

from __future__ import annotations

import ast
from itertools import groupby
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "files.md"
TITLE = "# Every file\n\n`python docs/list_files.py` writes this page from the docstrings of the files.\n"


def page() -> str:
    """Return the page as it should be: a list of files for each package."""
    files = sorted(file for root in ("platform", "selection", "dashboards") for file in (ROOT / root).rglob("*.py"))
    text = TITLE
    for folder, members in groupby(files, key=lambda file: file.parent):
        text += f"\n**`{folder.relative_to(ROOT).as_posix()}/`**\n\n"
        for file in members:
            docstring = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
            text += f"- `{file.name}`: {' '.join(docstring.partition(chr(10) * 2)[0].split())}\n"
    return text


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
