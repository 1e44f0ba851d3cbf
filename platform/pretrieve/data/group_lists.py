"""Read lists of a source's groups: a known list, a file, names, WordNet ids or indices."""

from __future__ import annotations

import json
import unicodedata
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

from pretrieve.errors import UserError, in_words, nearest_word
from pretrieve_selection import IMAGENET_BIRD_CLASSES, IMAGENET_DOG_CLASSES

KNOWN_LISTS: Mapping[str, tuple[int, ...]] = {
    "imagenet-birds": IMAGENET_BIRD_CLASSES,
    "imagenet-dogs": IMAGENET_DOG_CLASSES,
}
"""Built-in lists of ImageNet-1k's classes, by the order of their WordNet ids."""

MAX_FILE_BYTES = 16 * 1024**2
MAX_SHOWN = 60
"""Characters of a word in a message."""

MAX_MEANT = 3


def read_group_list(groups: str | Sequence[str | int], names: Sequence[str]) -> list[int]:
    """Find the indices of the groups that a list names, in the order given.

    Args:
      groups: the groups themselves, or the name of a known list (`imagenet-birds`, `imagenet-dogs`), or a file: a JSON
        list, or a group a line, in UTF-8. A group is an index, a name, or the first word of a name, as WordNet ids are.
      names: of the source's groups. Spaces around them, and how their accents are encoded, make no difference.

    Raises:
      UserError: there is no such list or file, a group is none of the source's, or it may be any of several.
    """
    if isinstance(groups, str) and groups in KNOWN_LISTS:
        known = KNOWN_LISTS[groups]
        if max(known) >= len(names):
            raise UserError(
                f"{groups} lists classes of ImageNet-1k up to {max(known)}, but the source has {len(names)} groups; "
                "list its own groups by name"
            )
        return list(known)
    place = groups if isinstance(groups, str) else "the list"
    words = _read_file(Path(groups)) if isinstance(groups, str) else groups
    rows = _rows(names)
    return [_only_row(_same(str(word)), rows, names, place) for word in words]


def _rows(names: Sequence[str]) -> tuple[Mapping[str, list[int]], ...]:
    """Map names, first words of names, and indices as text, to rows."""
    by_name, by_first_word = defaultdict[str, list[int]](list), defaultdict[str, list[int]](list)
    for row, name in enumerate(map(_same, names)):
        by_name[name].append(row)
        by_first_word[name.partition(" ")[0]].append(row)
    return by_name, by_first_word, {str(row): [row] for row in range(len(names))}


def _same(name: str) -> str:
    return unicodedata.normalize("NFC", " ".join(name.split()))


def _only_row(word: str, rows: Sequence[Mapping[str, list[int]]], names: Sequence[str], place: str) -> int:
    by_name, by_first_word, by_index = rows
    found: set[int] = {*by_name.get(word, by_first_word.get(word, ())), *by_index.get(word, ())}
    if not found:
        raise UserError(
            f"a group of {place} must be an index from 0 to {len(names) - 1} or a name of the source, but is "
            f"{word[:MAX_SHOWN]!r}.{nearest_word(word, [*by_name, *by_first_word])}"
        )
    if len(found) > 1:
        meant = ", ".join(f"{row} ({names[row][:MAX_SHOWN]!r})" for row in sorted(found)[:MAX_MEANT])
        raise UserError(
            f"a group of {place} must be one group of the source, but {word[:MAX_SHOWN]!r} may be any of {len(found)}: "
            f"{meant}{', …' if len(found) > MAX_MEANT else ''}; give its whole name or its index, and names that are "
            "no other group's"
        )
    return found.pop()


def _read_file(path: Path) -> list[Any]:
    try:
        if not path.is_file():
            raise UserError(
                f"a list of groups must be a file or one of {', '.join(KNOWN_LISTS)}, but {str(path)!r} is neither."
                f"{nearest_word(str(path), KNOWN_LISTS)}"
            )
        if path.stat().st_size > MAX_FILE_BYTES:
            raise ValueError(f"it has more than {MAX_FILE_BYTES:,} bytes")
        text = path.read_text(encoding="utf-8-sig")
        if text.lstrip().startswith("["):
            with nullcontext() if path.suffix == ".json" else suppress(ValueError):  # names may begin with a bracket
                return list(json.loads(text))
        return [line for line in text.splitlines() if line.strip()]
    except UserError:
        raise
    except (OSError, ValueError, RecursionError) as error:  # no UTF-8, no JSON, too deep
        fault = in_words(error)
        raise UserError(f"{path} must be a JSON list or one group a line, in UTF-8, but: {fault}") from error
