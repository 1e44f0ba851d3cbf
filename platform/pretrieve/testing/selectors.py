"""The contract suite of selectors: `check_selector` runs one through everything that a study relies on."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from pretrieve_selection import GroupedFeatures, Need, Selection, SelectionSettings, Selector, Unit, rank_groups

NUM_GROUPS, NUM_CLASSES, DIMENSION, IMAGES_EACH = 8, 3, 5, 4
TOLERANCE = 1e-6
"""Largest difference of scores that counts as rounding, relative to the largest score."""


def check_selector(selector: Selector) -> None:
    """Check that a selector keeps its contract, on random problems of 8 source groups and 3 target classes.

    Of a selector of classes or clusters it checks that: scores are finite, one for each group; the selected groups are
    those of the highest scores, equal ones by ascending index; a smaller `top_k` selects the beginning of a larger one;
    the same seed gives the same selection, whatever was selected before; inputs stay as they were; permuting the groups
    permutes the selection, unless it draws from `rng` or does not rank by similarity; it reads what it lists in
    `needs`, all of it and nothing else. Of a selector of single images it checks the scores likewise.

    Args:
      selector: built with its settings; what these say of groups must fit 8 groups.

    Raises:
      AssertionError: the contract is broken; the message has the rule, what was found and where.

    >>> from pretrieve_selection import make_selector
    >>> check_selector(make_selector("uot"))
    """
    _check_declarations(selector)
    if {"class", "cluster"} & set(selector.units):
        for seed in (0, 1):
            _check_groups(selector, _Problem.random(seed))
        _check_needs(selector, _Problem.random(0))
        _check_equal_groups(selector, _Problem.random(0))
    if "image" in selector.units:
        _check_images(selector)


@dataclass(frozen=True, eq=False)
class _Problem:
    """One selection: the features of both sides with their groups, and the centroids of these."""

    source: GroupedFeatures
    target: GroupedFeatures
    source_names: tuple[str, ...]

    @classmethod
    def random(cls, seed: int) -> _Problem:
        rng = np.random.default_rng(seed)
        source, target = (_random_images(rng, number) for number in (NUM_GROUPS, NUM_CLASSES))
        return cls(source, target, tuple(f"group {number}" for number in range(NUM_GROUPS)))

    def permuted(self, order: Sequence[int]) -> _Problem:
        """Return the problem whose group i is group order[i] of this one."""
        source = GroupedFeatures(self.source.features, np.argsort(order)[self.source.groups])
        return _Problem(source, self.target, tuple(self.source_names[group] for group in order))

    def select(self, selector: Selector, *, top_k: int, rng: np.random.Generator | None = None) -> Selection:
        inputs = self._inputs()
        before = copy.deepcopy(inputs)
        try:
            selection = selector.select(
                **inputs, top_k=top_k, settings=SelectionSettings(), rng=rng or np.random.default_rng(0)
            )
        except Exception as error:
            raise AssertionError(
                f"{_name(selector)} must select {top_k} of {NUM_GROUPS} groups by what it lists in `needs`, but "
                f"raises {type(error).__name__}: {error}"
            ) from error
        _check_unchanged(selector, before, inputs)
        return selection

    def _inputs(self) -> dict[str, Any]:
        sides = {"source": self.source, "target": self.target}
        counts = {"source": NUM_GROUPS, "target": NUM_CLASSES}
        names = {"source_names": self.source_names, "target_names": tuple("abc"[:NUM_CLASSES])}
        features = {f"{side}_features": images for side, images in sides.items()}
        return names | features | {f"{s}_centroids": each.moments(counts[s]).means for s, each in sides.items()}


def _random_images(rng: np.random.Generator, num_groups: int) -> GroupedFeatures:
    groups = np.tile(np.arange(num_groups), IMAGES_EACH)
    means = rng.normal(size=(num_groups, DIMENSION)) + 0.5
    return GroupedFeatures((means[groups] + 0.2 * rng.normal(size=(len(groups), DIMENSION))).astype(np.float32), groups)


def _require(holds: object, message: str) -> None:
    """Raise the error of a broken rule; unlike `assert`, also under `python -O`."""
    if not holds:
        raise AssertionError(message)


def _name(selector: Selector) -> str:
    return f"the selector {getattr(selector, 'name', type(selector).__name__)!r}"


def _check_declarations(selector: Selector) -> None:
    name = getattr(selector, "name", None)
    _require(
        isinstance(name, str) and name,
        f"a selector must have a name, but {type(selector).__name__}.name is {name!r}; set it in the class",
    )
    for field, known in (("units", get_args(Unit)), ("needs", get_args(Need))):
        given = getattr(selector, field)
        _require(
            isinstance(given, tuple) and set(given) <= set(known),
            f"{field} of {_name(selector)} must be a tuple of {', '.join(known)}, but is {given!r}",
        )
    _require(selector.units, f"units of {_name(selector)} must have at least one unit, but is empty")
    _require(
        "names" not in selector.needs or set(selector.units) == {"class"},
        f"units of {_name(selector)} must be 'class' alone, as it needs names, which only classes have, but are "
        f"{', '.join(selector.units)}",
    )


def _check_groups(selector: Selector, problem: _Problem) -> None:
    whole = problem.select(selector, top_k=NUM_GROUPS)
    _require(
        whole.method == selector.name,
        f"a selection must carry the name of its selector, {selector.name!r}, but has {whole.method!r}",
    )
    _Problem.random(7).select(selector, top_k=2)
    _check_same(selector, whole.scores, problem.select(selector, top_k=NUM_GROUPS).scores)
    for top_k in range(1, NUM_GROUPS + 1):
        selection = problem.select(selector, top_k=top_k)
        _check_ranking(selector, selection, top_k)
        _require(
            selection.groups == whole.groups[:top_k],
            f"a smaller top_k must select the beginning of a larger one, but {_name(selector)} selects "
            f"{selection.groups} with top_k {top_k}, and {whole.groups} with {NUM_GROUPS}",
        )
    rng = np.random.default_rng(0)
    problem.select(selector, top_k=2, rng=rng)
    draws = rng.bit_generator.state != np.random.default_rng(0).bit_generator.state
    if selector.ranks_by_similarity and not draws:
        _check_permuted(selector, problem, whole)


def _check_ranking(selector: Selector, selection: Selection, top_k: int) -> None:
    place = f"of {_name(selector)} with top_k {top_k}"
    _require(
        selection.scores.shape == (NUM_GROUPS,),
        f"scores must be {NUM_GROUPS}, one for each group, but those {place} have shape {selection.scores.shape}",
    )
    ranking, number = rank_groups(selection.scores), len(selection.groups)
    _require(
        number <= top_k and selection.groups == ranking[:number],
        f"groups must be at most top_k of the highest scores, best first, equal scores by ascending index, but those "
        f"{place} are {selection.groups}, and the scores rank {ranking}",
    )
    margin = None
    if number < NUM_GROUPS:
        margin = float(selection.scores[ranking[number - 1]] - selection.scores[ranking[number]])
    _require(
        selection.margin == margin,
        f"margin must be the score of the last group minus that of the next, {margin}, but that {place} is "
        f"{selection.margin}; `Selection.from_scores` computes it",
    )


def _check_same(selector: Selector, first: NDArray[np.float64], second: NDArray[np.float64]) -> None:
    for unit in np.flatnonzero(first != second):
        raise AssertionError(
            f"the same inputs and seed must give the same scores, but {_name(selector)} gives unit {unit} "
            f"{first[unit]}, then {second[unit]}; draw from rng alone, and keep no state"
        )


def _check_permuted(selector: Selector, problem: _Problem, whole: Selection) -> None:
    order = np.random.default_rng(3).permutation(NUM_GROUPS).tolist()
    expected, found = whole.scores[order], problem.permuted(order).select(selector, top_k=NUM_GROUPS).scores
    for unit in np.flatnonzero(_differ(found, expected)):
        raise AssertionError(
            f"permuting the groups must permute the scores, but {_name(selector)} gives group {order[unit]} "
            f"{expected[unit]}, and {found[unit]} where it is group {unit}; the number of a group must not matter"
        )


def _differ(found: NDArray[np.float64], expected: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return where scores differ by more than rounding."""
    differ: NDArray[np.bool_] = np.abs(found - expected) > TOLERANCE * np.abs(expected).max()
    return differ


def _check_equal_groups(selector: Selector, problem: _Problem) -> None:
    """Check the ranking of groups that have the same images, so that scores are equal unless they are drawn."""
    shared = problem.source.features[: 2 * DIMENSION]  # enough for a covariance that can be inverted
    images = GroupedFeatures(np.repeat(shared, NUM_GROUPS, axis=0), np.tile(np.arange(NUM_GROUPS), len(shared)))
    equal = _Problem(images, problem.target, problem.source_names)
    for top_k in (1, 3, NUM_GROUPS):
        _check_ranking(selector, equal.select(selector, top_k=top_k), top_k)


def _check_needs(selector: Selector, problem: _Problem) -> None:
    """Take each need away; what fails then was read."""
    for need in selector.needs:
        lesser = copy.copy(selector)
        vars(lesser)["needs"] = tuple(each for each in selector.needs if each != need)
        try:
            problem.select(lesser, top_k=2)
        except AssertionError:
            continue
        raise AssertionError(
            f"a selector must read all that it lists in `needs`, but {_name(selector)} does not read {need!r}; remove "
            "it from the list, as it may be expensive to supply"
        )


def _check_images(selector: Selector) -> None:
    rng = np.random.default_rng(5)
    source, target = (rng.normal(size=(number, DIMENSION)) + 0.5 for number in (20, 6))
    first = _score(selector, source, target)
    _check_same(selector, first, _score(selector, source, target))
    import torch

    second = _score(selector, torch.tensor(source), torch.tensor(target))
    for image in np.flatnonzero(_differ(second, first)):
        raise AssertionError(
            f"tensors must score as arrays do, but {_name(selector)} gives image {image} {second[image]} in a tensor, "
            f"and {first[image]} in an array"
        )


def _score(selector: Selector, source: Any, target: Any) -> NDArray[np.float64]:
    inputs = {"source_features": source, "target_features": target}
    before = copy.deepcopy(inputs)
    try:
        found = selector.score_images(**inputs, settings=SelectionSettings(), rng=np.random.default_rng(0))
    except Exception as error:
        raise AssertionError(
            f"{_name(selector)} must score single images, as it lists 'image' in `units`, but raises "
            f"{type(error).__name__}: {error}"
        ) from error
    _check_unchanged(selector, before, inputs)
    is_right = isinstance(found.scores, np.ndarray) and found.scores.shape == (len(source),)
    _require(
        is_right and np.isfinite(found.scores).all(),
        f"scores of images must be an array of {len(source)} finite numbers, but those of {_name(selector)} are "
        f"{found.scores!r}",
    )
    return found.scores


def _check_unchanged(selector: Selector, before: dict[str, Any], after: dict[str, Any]) -> None:
    for name, value in after.items():
        pairs = [(before[name], value)]
        if isinstance(value, GroupedFeatures):
            pairs = [(before[name].features, value.features), (before[name].groups, value.groups)]
        _require(
            all(np.array_equal(old, new) for old, new in pairs),
            f"inputs must stay as they were, but {_name(selector)} changes {name}; copy what it writes to",
        )
