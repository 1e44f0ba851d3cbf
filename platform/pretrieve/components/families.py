"""Every open family: its contract, and the folder whose files are its built-in members."""

from __future__ import annotations

from pretrieve.components.registry import Family
from pretrieve.errors import BackboneError, ImageSetError

SELECTORS = Family("selectors", "a selector", "pretrieve_selection.selectors._base:Selector")
OBJECTIVES = Family("objectives", "an objective", "pretrieve.training.objectives._base:Objective")
METRICS = Family("metrics", "a metric", "pretrieve.metrics._base:Metric")
BACKBONES = Family(
    "backbones", "a backbone", "pretrieve.backbones._base:Architecture", form="object", error=BackboneError
)
TARGETS = Family("targets", "an image set", "pretrieve.data.image_set:ImageSet", form="function", error=ImageSetError)

FAMILIES = {family.name: family for family in (SELECTORS, OBJECTIVES, METRICS, BACKBONES, TARGETS)}
