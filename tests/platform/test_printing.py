"""Printing to a pipe whose reader has gone, a full disk, a plain terminal, closed streams; names with control codes."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import pytest
from rich.table import Table

from pretrieve.printing import UnfailingConsole, UnfailingStream, printable
from pretrieve.study.views.line_view import LineView

PROGRAM = """
from pathlib import Path
from pretrieve.printing import echo, make_console, print_without_failing
print_without_failing()
for _ in range(2000):
    make_console().print("study · 3 × ✓ …")
    echo("übersicht")
    print("→", flush=True)
Path("went_on").touch()
Path("opened").open("w").write("")
"""


def run(folder: Path, shell_line: str, **environment: str) -> subprocess.CompletedProcess[str]:
    (folder / "program.py").write_text(PROGRAM, encoding="utf-8")
    line = shell_line.replace("PROGRAM", f"{sys.executable} program.py")
    variables = {"PYTHONPATH": ":".join(sys.path), "PATH": "/usr/bin:/bin", **environment}
    return subprocess.run(["bash", "-c", line], cwd=folder, env=variables, text=True, capture_output=True, check=False)


@pytest.mark.parametrize(
    "line",
    [
        "set -o pipefail; PROGRAM | head -1",
        "PROGRAM > /dev/full",
        "PROGRAM >&-",
        "PROGRAM <&- >&- 2>&-",
        "PROGRAM 2> /dev/full > /dev/full",
    ],
)
def test_a_program_goes_on_whatever_becomes_of_its_output(tmp_path: Path, line: str) -> None:
    finished = run(tmp_path, line)
    assert (finished.returncode, finished.stderr) == (0, "")
    assert (tmp_path / "went_on").exists()
    assert (tmp_path / "opened").read_text() == "", "a file that was opened received what was printed"


def test_a_plain_terminal_gets_plain_characters(tmp_path: Path) -> None:
    finished = run(tmp_path, "PROGRAM", PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout.splitlines()[:3] == ["study * 3 x + ...", r"\xfcbersicht", "->"]


class Gone(io.StringIO):
    def write(self, text: str) -> int:
        raise BrokenPipeError

    def flush(self) -> None:
        raise OSError(5, "the terminal has gone")


@pytest.mark.parametrize("stream", [Gone(), io.TextIOWrapper(io.BytesIO(), "latin-1")])
def test_a_view_on_any_stream_fails_no_study(stream: io.TextIOBase) -> None:
    """A user's own script prints to streams that are not the command line's."""
    view = LineView(UnfailingConsole(file=stream))
    view.noticed("…")
    stream.close()
    view.noticed("after the stream was closed")


def test_control_characters_of_names_are_escaped_in_text_and_tables() -> None:
    stream = io.StringIO()
    console = UnfailingConsole(file=stream, width=60)
    table = Table("class")
    table.add_row("ant\x1b]0;another title\x07")
    console.print(table)
    console.print("half \udc80, back\x08, turned \u202e", markup=False)
    assert r"ant\x1b]0;another" in stream.getvalue(), "its column may be cut, as it was measured without escapes"
    assert r"half \udc80, back" in stream.getvalue()
    assert not {"\x1b", "\x07", "\x08", "\u202e"} & set(stream.getvalue())
    assert printable("two\nlines\tand é") == "two\nlines\tand é"


def test_what_a_disk_has_no_space_for_is_dropped_and_what_comes_later_is_printed() -> None:
    class Full(io.StringIO):
        is_full = True

        def write(self, text: str) -> int:
            if self.is_full:
                raise OSError(28, "No space left on device")
            return super().write(text)

    disk = Full()
    stream = UnfailingStream(disk)
    stream.write("lost\n")
    disk.is_full = False
    stream.write("kept\n")
    assert disk.getvalue() == "kept\n"
