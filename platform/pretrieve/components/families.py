"""Every open family: its contract, and the folder whose files are its built-in members."""

from __future__ import annotations

from pretrieve.components.registry import Family
from pretrieve.errors import BackboneError, ImageSetError

SELECTORS = Family("selectors", "a selector", "pretrieve_selection.selectors._base:Selector")
OBJECTIVES = Family("objectives", "an objective", "pretrieve.training.objectives._base:Objective")
OPTIMIZERS = Family("optimizers", "an optimizer", "pretrieve.training.optimizers._base:Optimizer")
SCHEDULES = Family("schedules", "a schedule", "pretrieve.training.schedules._base:Schedule")
HEAD_STARTS = Family("head_starts", "a head start", "pretrieve.training.head_starts._base:HeadStart")
STRATEGIES = Family(
    "strategies",
    "a search strategy",
    "pretrieve.search.strategies._base:SearchStrategy",
    adapter="pretrieve.search.strategies._tune_objects:adapt",
)
METRICS = Family("metrics", "a metric", "pretrieve.metrics._base:Metric")
BACKBONES = Family(
    "backbones", "a backbone", "pretrieve.backbones._base:Architecture", form="object", error=BackboneError
)
TARGETS = Family("targets", "an image set", "pretrieve.data.image_set:ImageSet", form="function", error=ImageSetError)
VIEWS = Family("views", "a view", "pretrieve_dashboards.views._base:View")

_ALL = (
    SELECTORS,
    OBJECTIVES,
    OPTIMIZERS,
    SCHEDULES,
    HEAD_STARTS,
    METRICS,
    STRATEGIES,
    BACKBONES,
    TARGETS,
    VIEWS,
)
FAMILIES = {family.name: family for family in _ALL}
