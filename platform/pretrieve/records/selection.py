"""The groups of the source that a method chose for a target."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True)
class SelectionRecord:
    """The groups of the source that a method chose for a target.

    Attributes:
      unit: what a group is: `class`, `cluster` or `image`.
      groups: indices of the chosen groups, best first; of very many the first ones. Names, scores, masses, ranks and
        thumbnails have the same order.
      scores: larger is more similar.
      masses: that the groups send to the target, P·1, by `uot` and other methods of transport; else None.
      ranks: among all groups of the source, counted from 1; they begin later for a decile of the ranking, and skip
        some where classes are capped.
      num_selected: how many were chosen, ≥ the number of groups listed.
      num_units: groups of the source.
      num_images: of the chosen groups.
      classes: how many of them are of each class, the most frequent first; of very many the first ones.
      margin: score of the last chosen group minus that of the first one left out; None if all were chosen.
      margins: the margin at each number of groups that the grid tries.
      converged: whether the solver reached its tolerance; True for methods that solve nothing.
      iterations: of the solver; 0 for methods that solve nothing.
      num_shared: chosen groups that each other method of the target chose too.
      recall: share of the expected groups that was chosen; None if none are expected.
      thumbnails: small pictures of the first groups: a JPEG each as base64 text, or empty.
      ranks_by_similarity: whether scores are similarities to the target; not for random draws and given lists. A file
        from before this field is read by its method's name, as only built-in methods could write one.

    Raises:
      ValueError: groups, names, scores and ranks differ in length.
    """

    RECORD: ClassVar = "selection"
    VERSION: ClassVar = 1

    target: str
    method: str
    unit: str
    groups: tuple[int, ...]
    names: tuple[str, ...]
    scores: tuple[float, ...]
    masses: tuple[float, ...] | None
    ranks: tuple[int, ...]
    num_selected: int
    num_units: int
    num_images: int
    classes: Mapping[str, int]
    margin: float | None
    margins: Mapping[int, float | None]
    converged: bool
    iterations: int
    num_shared: Mapping[str, int]
    recall: float | None
    thumbnails: tuple[str, ...] = ()
    ranks_by_similarity: bool | None = None

    def __post_init__(self) -> None:
        if self.ranks_by_similarity is None:
            object.__setattr__(self, "ranks_by_similarity", self.method not in ("random", "label"))
        if len({len(self.groups), len(self.names), len(self.scores), len(self.ranks)}) > 1:
            raise ValueError("groups, names, scores and ranks differ in length")
