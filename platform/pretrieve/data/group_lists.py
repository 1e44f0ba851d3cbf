"""Read lists of a source's groups: a known list, a file, names, WordNet ids or indices."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from pretrieve.errors import UserError, nearest_word
from pretrieve_selection import IMAGENET_BIRD_CLASSES, IMAGENET_DOG_CLASSES

KNOWN_LISTS: Mapping[str, tuple[int, ...]] = {
    "imagenet-birds": IMAGENET_BIRD_CLASSES,
    "imagenet-dogs": IMAGENET_DOG_CLASSES,
}
"""Built-in lists of ImageNet-1k's classes, by the order of their WordNet ids."""


def read_group_list(groups: str | Sequence[str | int], names: Sequence[str]) -> list[int]:
    """Find the indices of the groups that a list names, in the order given.

    Args:
      groups: the groups themselves, or the name of a known list (`imagenet-birds`, `imagenet-dogs`), or a file: a JSON
        list, or a group a line. A group is an index, a name, or the first word of a name, as WordNet ids are.
      names: of the source's groups.

    Raises:
      UserError: there is no such list or file, or a group is none of the source's.
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
    index_of = {name.split()[0]: k for k, name in enumerate(names) if name.split()}
    index_of |= {name: k for k, name in enumerate(names)}
    indices = []
    for group in words:
        word = str(group).strip()
        is_index = word.isdigit() and int(word) < len(names)
        if word not in index_of and not is_index:
            raise UserError(
                f"a group of {place} must be an index from 0 to {len(names) - 1} or a name of the source, but is "
                f"{word!r}.{nearest_word(word, index_of)}"
            )
        indices.append(index_of[word] if word in index_of else int(word))
    return indices


def _read_file(path: Path) -> list[str]:
    if not path.is_file():
        raise UserError(
            f"a list of groups must be a file or one of {', '.join(KNOWN_LISTS)}, but {str(path)!r} is neither."
            f"{nearest_word(str(path), KNOWN_LISTS)}"
        )
    text = path.read_text(encoding="utf-8")
    if not text.lstrip().startswith("["):
        return [line for line in text.splitlines() if line.strip()]
    try:
        return list(json.loads(text))
    except json.JSONDecodeError as error:
        raise UserError(f"{path} must be a JSON list or one group a line, but: {error}") from error
