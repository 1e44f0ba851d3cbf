"""Miniatures of experiments, cut to what their reports need."""

from __future__ import annotations

from dataclasses import replace

import pytest


def make_smaller(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut the networks' pre-training and the trials' epochs: minutes of arithmetic would show nothing more."""
    from pretrieve.paper import catalogue, run_experiment

    load_point = catalogue.load_point

    def load(point, where):  # type: ignore[no-untyped-def]
        words = ("backbone.pretrain.epochs=1", "training.epochs=2", "grid.lr=[0.03]")
        return load_point(replace(point, overrides=(*point.overrides, *words)), where)

    for module in (catalogue, run_experiment):
        monkeypatch.setattr(module, "load_point", load)
