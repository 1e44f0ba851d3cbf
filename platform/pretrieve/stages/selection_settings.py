"""The settings of a study's selections, beside those of the algorithms themselves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Annotated, Any, Literal, cast, get_args

from pydantic import BeforeValidator

from pretrieve.components import SELECTORS
from pretrieve.errors import ComponentError, nearest_word
from pretrieve.methods import Method
from pretrieve.stages.backbone_settings import BackboneSettings
from pretrieve_selection import SelectionInputError, SelectionSettings, Selector
from pretrieve_selection import Unit as Unit
from pretrieve_selection.members import own_settings


def _refuse_truth_values(groups: object) -> object:
    """Raise a ValueError for what YAML made of `no`, `off` and their like, which Python takes for a group's index."""
    for group in groups if isinstance(groups, list | tuple) else ():
        if isinstance(group, bool | float):
            raise ValueError(f"a group must be a name or an index, but YAML read {group!r} here; put it into quotes")
    return groups


GroupList = Annotated[str | tuple[str | int, ...], BeforeValidator(_refuse_truth_values)]
"""Groups as a user names them: a known list, a file, or names, WordNet ids and indices."""


@dataclass(frozen=True, kw_only=True)
class StudySelectionSettings(SelectionSettings):
    """How a study chooses from its source; these fields stand beside those of `SelectionSettings`.

    Attributes:
      rank_from: the first rank that is selected, ≥ 0: the selection takes `top_k` ranks from there on, so that decile
        i = 0 … 9 of the ranked source (Figure 4b) is `top_k` = K / 10 and `rank_from` = i · K / 10.
      source_fraction: share of its images that every selected group gives, in (0, 1]; `as_target` takes the fraction
        of the target's regime, to keep the ratio of target to source images (appendix A). None: all of them.
      unit: what is chosen: classes, clusters of features (for a source whose classes are unknown or too coarse), or
        single images. `top_k` counts these.
      num_clusters: K of k-means (the paper: 2000), for the unit `cluster`.
      cluster_iterations: largest number of iterations of k-means, ≥ 1.
      max_images_per_class: for the unit `image`, the largest number of images of one class; None for no cap.
      label_groups: target → the groups to reuse, for the method `label` and other selectors that take them.
      expected_groups: target → the groups that a good selection should find; its recall is recorded.
      backbone: the network whose features select, where it is another than the one that is trained. None: the same.

    Raises:
      SelectionInputError: one or more values are out of range; the message lists them all.
    """

    rank_from: int = 0
    source_fraction: float | Literal["as_target"] | None = None
    unit: Unit = "class"
    num_clusters: int = 2000
    cluster_iterations: int = 25
    max_images_per_class: int | None = None
    label_groups: Mapping[str, GroupList] = field(default_factory=dict)
    expected_groups: Mapping[str, GroupList] = field(default_factory=dict)
    backbone: BackboneSettings | None = None

    @property
    def core(self) -> SelectionSettings:
        """The settings that the selectors themselves read."""
        return SelectionSettings(**{each.name: getattr(self, each.name) for each in fields(SelectionSettings)})

    def faults_beside(self, methods: tuple[Method, ...], targets: tuple[str, ...]) -> Iterator[str]:
        """Yield a message for each setting that does not fit the methods and targets of the study."""
        for name in ("label_groups", "expected_groups"):
            for target in getattr(self, name):
                if target not in targets:
                    yield f"{name}.{target}: must be a target of the study.{nearest_word(target, targets)}"
        for method in methods:
            if (selector := selector_of(method)) is not None:
                yield from self._faults_beside(selector, method.name, targets)
        if self.unit == "image" and self.source_fraction is not None:
            yield (
                f"source_fraction: must be left out where unit is 'image', but is {self.source_fraction!r}; "
                "top_k says there how many images are reused"
            )
        if self.unit != "image" and self.max_images_per_class is not None:
            yield f"max_images_per_class: must be left out unless unit is 'image', but unit is {self.unit!r}"

    def _faults_beside(self, selector: type[Selector], method: str, targets: tuple[str, ...]) -> Iterator[str]:
        if self.unit not in selector.units:
            yield f"unit: must be {' or '.join(selector.units)} for the method {method!r}, but is {self.unit!r}"
        missing = [target for target in targets if target not in self.label_groups]
        if takes_label_groups(selector) and missing:
            yield (
                f"label_groups: must name the groups of every target for the method {method!r}, but lacks "
                f"{', '.join(missing)}; for example label_groups: {{{missing[0]}: imagenet-birds}}"
            )
        if self.rank_from and not selector.ranks_by_similarity:
            yield (
                f"rank_from: must be 0 for the method {method!r}, which does not rank by similarity, but is "
                f"{self.rank_from}; leave the method out"
            )

    def _faults(self) -> Iterator[str]:
        share = self.source_fraction
        is_share = isinstance(share, int | float) and not isinstance(share, bool) and 0 < share <= 1
        if not is_share and share not in (None, "as_target"):
            yield (
                f"source_fraction must be a number > 0 and <= 1, or 'as_target', but is {self.source_fraction!r}; "
                "leave it out for all images"
            )
        if self.unit not in get_args(Unit):
            yield (
                f"unit must be one of {', '.join(get_args(Unit))}, but is {self.unit!r}."
                f"{nearest_word(str(self.unit), get_args(Unit))}"
            )
        smallest = {"rank_from": 0, "num_clusters": 1, "cluster_iterations": 1, "max_images_per_class": 1}
        for name, least in smallest.items():
            value = getattr(self, name)
            is_left_out = name == "max_images_per_class" and value is None
            if not is_left_out and (isinstance(value, bool) or not isinstance(value, int) or value < least):
                yield f"{name} must be an integer >= {least}, but is {value!r}"
        for name in ("label_groups", "expected_groups"):
            yield from _faults_of_lists(name, getattr(self, name))
        network: object = self.backbone
        if network is not None and not isinstance(network, BackboneSettings):
            yield f"backbone must be a BackboneSettings, but is {network!r}: BackboneSettings(name='resnet18')"
        yield from super()._faults()


def selector_of(method: Method) -> type[Selector] | None:
    """Return the class of a row's selector; None for a row that reuses no source."""
    return None if method.selector is None else cast("type[Selector]", SELECTORS.find(method.selector))


def split_selector_settings(
    settings: SelectionSettings, given: Mapping[str, Any]
) -> tuple[SelectionSettings, dict[str, Any]]:
    """Divide what a row gives its selector: fields of `settings` are overridden, the rest are the selector's own.

    A setting of its own must have another name than those fields.

    Raises:
      SelectionInputError: a field gets a value out of its range.

    >>> settings, own = split_selector_settings(SelectionSettings(), {"cost_scale": 0.02, "neighbours": 5})
    >>> settings.cost_scale, own
    (0.02, {'neighbours': 5})
    """
    shared = {each.name for each in fields(SelectionSettings)} & set(given)
    own = {name: value for name, value in given.items() if name not in shared}
    return replace(settings, **{name: given[name] for name in shared}), own


def row_faults(method: Method) -> Iterator[str]:
    """Yield a message for what a row gives its selector and cannot."""
    selector = selector_of(method)
    if selector is None:
        return
    try:
        _, own = split_selector_settings(SelectionSettings(), method.selector_settings)
        per_target = {"label_groups": (0,)} if takes_label_groups(selector) else {}
        SELECTORS.build(str(method.selector), per_target | own)
    except (SelectionInputError, ComponentError) as fault:
        yield f"selector_settings: {str(fault).removeprefix('SelectionSettings: ')}"


def takes_label_groups(selector: type[Selector] | None) -> bool:
    """Return whether `label_groups` is a setting of the selector's own."""
    return selector is not None and "label_groups" in own_settings(selector)


def _faults_of_lists(name: str, lists: object) -> Iterator[str]:
    remedy = "for example {birds: imagenet-birds} or {birds: [n01440764, 17]}"
    if not isinstance(lists, Mapping):
        yield f"{name} must map targets to groups, but is {lists!r}; {remedy}"
        return
    for target, groups in lists.items():
        if not isinstance(groups, str | list | tuple) or not groups:
            yield f"{name}.{target} must be a list of groups, a file or a known list, but is {groups!r}; {remedy}"
