"""YAML of files that people send each other: plain values, of bounded depth and size, whatever is written in it."""

from __future__ import annotations

from typing import Any

import yaml

MAX_DEPTH = 40
"""Lists and mappings inside one another; a study needs six."""

MAX_VALUES = 100_000
"""Values in all, those that an alias repeats counted again."""


class YamlRefusedError(ValueError):
    """Text that is no YAML, or YAML that is deeper or larger than settings can be."""


def load_bounded_yaml(text: str) -> Any:
    """Read YAML of plain values: mappings, lists, words, numbers, dates.

    A few lines of aliases of aliases stand for billions of values. So they are counted before any is made; what stands
    behind an alias is counted each time.

    Raises:
      YamlRefusedError: it is no YAML, is too deep or too large, contains itself, or has a value that cannot be made.
    """
    try:
        _check_size(text)
        return yaml.safe_load(text)
    except YamlRefusedError:
        raise
    except yaml.YAMLError as error:
        raise YamlRefusedError(str(error)) from error
    except (ValueError, OverflowError, TypeError, AttributeError, LookupError) as error:
        # A date of month 13, a whole number of thousands of digits: YAML's own tags raise what Python raises.
        raise YamlRefusedError(f"a value cannot be made: {error}") from error


def _check_size(text: str) -> None:
    """Count values along the parser's events, without recursion.

    Raises:
      YamlRefusedError: there are too many, too deep, or one holds itself.
    """
    nodes = _OpenNodes()
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        if isinstance(event, yaml.CollectionStartEvent):
            nodes.begin(event.anchor)
        elif isinstance(event, yaml.CollectionEndEvent):
            nodes.end()
        elif isinstance(event, yaml.ScalarEvent):
            nodes.add(event.anchor, size=1, depth=0)
        elif isinstance(event, yaml.AliasEvent):
            nodes.repeat(str(event.anchor))


class _OpenNodes:
    """The lists and mappings that have begun and not ended, and the size and depth of what anchors name."""

    def __init__(self) -> None:
        self._anchors: list[str | None] = [None]
        self._sizes = [0]
        self._depths = [0]
        self._named: dict[str, tuple[int, int]] = {}

    def begin(self, anchor: str | None) -> None:
        self._anchors.append(anchor)
        self._sizes.append(1)
        self._depths.append(0)
        if anchor is not None:
            self._named.pop(anchor, None)  # until the node ends, an alias of it means itself
        self._refuse_deeper(0)

    def end(self) -> None:
        self.add(self._anchors.pop(), size=self._sizes.pop(), depth=self._depths.pop() + 1)

    def repeat(self, anchor: str) -> None:
        if anchor not in self._named:
            raise YamlRefusedError(f"the alias *{anchor} stands for something that is not there, or that holds it")
        size, depth = self._named[anchor]
        self.add(None, size=size, depth=depth)

    def add(self, anchor: str | None, *, size: int, depth: int) -> None:
        if anchor is not None:
            self._named[anchor] = size, depth
        self._sizes[-1] += size
        self._depths[-1] = max(self._depths[-1], depth)
        self._refuse_deeper(depth)
        if self._sizes[-1] > MAX_VALUES:
            raise YamlRefusedError(f"it must hold at most {MAX_VALUES:,} values, each alias counted; write fewer")

    def _refuse_deeper(self, depth: int) -> None:
        if len(self._anchors) - 1 + depth > MAX_DEPTH:
            raise YamlRefusedError(f"it must be at most {MAX_DEPTH} lists and mappings deep; write it flatter")
