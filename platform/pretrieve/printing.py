"""Printing that never fails: whatever the terminal, pipe or log file, what is printed about stays unharmed."""

from __future__ import annotations

import codecs
import io
import os
import sys
import unicodedata
from collections.abc import Iterable
from contextlib import suppress
from typing import Any, TextIO, cast

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

_PLAIN = {
    "·": "*",
    "×": "x",
    "–": "-",
    "—": "-",
    "−": "-",
    "…": "...",
    "✓": "+",
    "±": "+-",
    "≤": "<=",
    "≥": ">=",
    "→": "->",
}

_BIDIRECTIONAL = {*range(0x202A, 0x202F), *range(0x2066, 0x206A), 0x200E, 0x200F, 0x061C}
"""Characters that reorder the text after them, and so can show another name than the one there is."""


def printable(text: str) -> str:
    r"""Escape the control characters of names and errors, which would move the cursor or change a terminal's title.

    >>> printable("a\x1b[2Jb\tc\u202e")
    'a\\x1b[2Jb\tc\\u202e'
    """
    if text.isprintable():
        return text
    return "".join(_escaped(each) if _is_control(each) else each for each in text)


def _is_control(character: str) -> bool:
    return (unicodedata.category(character) in ("Cc", "Cs") and character not in "\n\t") or ord(
        character
    ) in _BIDIRECTIONAL


def _escaped(character: str) -> str:
    return repr(character)[1:-1] if _is_control(character) else character.encode("ascii", "backslashreplace").decode()


def _in_plain_characters(error: UnicodeError) -> tuple[str | bytes, int]:
    """Replace what an encoding lacks: signs by those of ASCII, the rest by escapes."""
    assert isinstance(error, UnicodeEncodeError)
    lacking = error.object[error.start : error.end]
    return "".join(_PLAIN.get(each, _escaped(each)) for each in lacking), error.end


codecs.register_error("pretrieve.plain", _in_plain_characters)


class UnfailingStream(io.TextIOBase):
    """A text stream over another one that drops what cannot be written.

    The reader of a pipe may have gone, the disk of a log may be full, a terminal may be closed, and its encoding may
    lack a character, which is then written in plain ones.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        encoding = self.encoding
        with suppress(OSError, ValueError):  # a ValueError says that the stream was closed
            self._stream.write(text.encode(encoding, "pretrieve.plain").decode(encoding))
        return len(text)

    def flush(self) -> None:
        with suppress(OSError, ValueError):
            self._stream.flush()

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        with suppress(OSError, ValueError):
            return self._stream.isatty()
        return False

    def fileno(self) -> int:
        return self._stream.fileno()

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return getattr(self._stream, "encoding", None) or "utf-8"

    @property
    def buffer(self) -> Any:
        """The stream of bytes below, for what prints bytes."""
        return self._stream.buffer

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class UnfailingConsole(Console):
    """A console on an unfailing stream; control characters in what it prints are escaped."""

    @property
    def file(self) -> Any:
        stream = super().file
        return stream if isinstance(stream, UnfailingStream) else UnfailingStream(cast("TextIO", stream))

    @file.setter
    def file(self, new_file: Any) -> None:
        self._file = new_file

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=printable(segment.text))


def make_console(**options: Any) -> Console:
    """Make a console that prints `[brackets]` and `:colons:` in names as they are, unless the options of rich differ.

    Without a terminal, and where COLUMNS says nothing, it is wide enough for a table of methods by eight targets.
    """
    options = {"markup": False, "emoji": False, "highlight": False, **options}
    terminal = UnfailingConsole(**options)
    if terminal.is_terminal or "COLUMNS" in os.environ:
        return terminal
    return UnfailingConsole(**{"width": max(terminal.width, 120), **options})


def echo(text: object, *, err: bool = False, nl: bool = True) -> None:
    """Print a text whose names and errors may hold anything."""
    stream = sys.stderr if err else sys.stdout
    if stream is not None:
        UnfailingStream(stream).write(printable(str(text)) + ("\n" if nl else ""))
        UnfailingStream(stream).flush()


def print_without_failing() -> None:
    """Let whatever this process prints from now on, also that of other packages, never fail it.

    Where the process was started without standard streams, files that it opens could take their numbers and receive
    what is printed, so they are opened on nothing.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number
    if sys.stdout is sys.__stdout__ and sys.stdout is not None:
        sys.stdout = cast("TextIO", UnfailingStream(sys.stdout))
    if sys.stderr is sys.__stderr__ and sys.stderr is not None:
        sys.stderr = cast("TextIO", UnfailingStream(sys.stderr))
