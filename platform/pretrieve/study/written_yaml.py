"""Read YAML as it is written: what YAML 1.1 would drop or turn into something else in silence is refused."""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterator
from typing import Any

import yaml

from pretrieve.errors import StudyFileError, UserError

MAX_DEPTH = 40
"""Levels of nested lists and mappings; a study needs six."""

_INT, _FLOAT, _MERGE = (f"tag:yaml.org,2002:{kind}" for kind in ("int", "float", "merge"))


def load_yaml(text: str, *, place: str, may_comment: bool = True) -> Any:
    """Read plain values: mappings, lists, words, numbers, dates.

    `may_comment` is False for a single value, of which all after ` #` would be cut off as a comment.

    Anchors and aliases are refused: a few lines of nested aliases can stand for billions of values.

    Raises:
      StudyFileError: a key is given twice, or a number is one in YAML's base 8 or 60; it lists every such place.
      UserError: it is no YAML, is too deep, has an anchor or an alias, or a value that cannot be made.
    """
    try:
        _check_events(text)
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        faults = [] if node is None else list(_faults(node))
        if not may_comment and (rest := text[0 if node is None else node.end_mark.index :].strip()).startswith("#"):
            faults.append(f"YAML takes {rest!r} for a comment and cuts it off; put the value into quotes")
        if faults:
            raise StudyFileError(place, faults)
        return yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:  # as text it would quote the line, and with it perhaps a password
        mark = error.problem_mark or error.context_mark
        place_in = "" if mark is None else f" in line {mark.line + 1}, column {mark.column + 1}"
        reason = f"{' '.join(filter(None, (error.context, error.problem)))}{place_in}"
    except yaml.YAMLError as error:
        reason = str(error)
    except UserError:
        raise
    except (ValueError, OverflowError, TypeError, AttributeError, LookupError) as error:
        # YAML passes Python's own errors on, such as for a date of month 13 or an integer of thousands of digits.
        reason = f"a value cannot be made: {error}"
    raise UserError(f"{place} must be YAML, but: {reason}")


def _check_events(text: str) -> None:
    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            raise yaml.YAMLError(f"it must be at most {MAX_DEPTH} lists and mappings deep; write it flatter")
        if isinstance(event, yaml.NodeEvent) and event.anchor is not None:
            mark = "*" if isinstance(event, yaml.AliasEvent) else "&"
            place = "" if event.start_mark is None else f" in line {event.start_mark.line + 1}"
            raise yaml.YAMLError(
                f"it must have no anchors and aliases, but has {mark}{event.anchor}{place}; write the value out in "
                "each place"
            )


def _faults(node: yaml.Node) -> Iterator[str]:
    if isinstance(node, yaml.ScalarNode):
        if fault := _fault_of_number(node):
            yield f"line {_line(node)}: {fault}"
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            yield from _faults(item)
    elif isinstance(node, yaml.MappingNode):
        yield from _doubles(node)
        for key, value in node.value:
            yield from _faults(key)
            yield from _faults(value)


def _doubles(mapping: yaml.MappingNode) -> Iterator[str]:
    """Yield the keys that Python would take for one; YAML keeps the last of them without a word."""
    first: dict[Any, yaml.ScalarNode] = {}
    for key, _ in mapping.value:
        if not isinstance(key, yaml.ScalarNode):
            continue  # no setting is named by a list or a mapping, which is refused later
        value = _value_of(key)
        if value in first:
            before = first[value]
            other = "" if before.value == key.value else f" (written {before.value!r})"
            yield (
                f"a key must be given once, but {key.value!r} stands in line {_line(before)}{other} and again in line "
                f"{_line(key)}; leave one of them out"
            )
        else:
            first[value] = key


def _fault_of_number(node: yaml.ScalarNode) -> str:
    if node.style is not None or node.tag not in (_INT, _FLOAT):
        return ""  # in quotes, or no number
    text = node.value
    if ":" in text:
        base = f"a number in base 60, {_value_of(node)}"
    elif re.fullmatch(r"[-+]?0[0-7_]+", text):
        base = f"a number in base 8, {_value_of(node)}"
    else:
        return ""
    return (
        f"a number must be decimal, but {text} is to YAML {base}; write that number, or '{text}' in quotes for a name"
    )


def _value_of(node: yaml.ScalarNode) -> Any:
    if node.tag == _MERGE:
        return node.value
    value = yaml.SafeLoader("").construct_object(node)
    return value if isinstance(value, Hashable) else node.value


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1
