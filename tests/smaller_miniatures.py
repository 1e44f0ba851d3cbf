"""The demo and miniatures of experiments, cut to what their reports need."""

from __future__ import annotations

from dataclasses import replace

import pytest

NUM_SOURCE_IMAGES = 16
"""Of each class, where the demo draws 100."""

SMALLER_SOURCE = f"""
from dataclasses import replace
from pretrieve.demo import recipes
whole = recipes.source_recipe()
recipes.source_recipe = lambda: replace(whole, num_train={NUM_SOURCE_IMAGES})
"""
"""Code for a process that runs the demo."""


def make_smaller(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut the source, the networks' pre-training and the trials' epochs: more arithmetic would show nothing more."""
    from pretrieve.demo import recipes
    from pretrieve.paper import catalogue, run_experiment

    whole = recipes.source_recipe()
    monkeypatch.setattr(recipes, "source_recipe", lambda: replace(whole, num_train=NUM_SOURCE_IMAGES))

    load_point = catalogue.load_point

    def load(point, where):  # type: ignore[no-untyped-def]
        words = ("backbone.pretrain.epochs=1", "training.epochs=2", "grid.lr=[0.03]")
        return load_point(replace(point, overrides=(*point.overrides, *words)), where)

    for module in (catalogue, run_experiment):
        monkeypatch.setattr(module, "load_point", load)
