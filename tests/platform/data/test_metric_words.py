"""The metrics that image sets and studies name: one word, a list, a user's module."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from own_metric import Confidence
from pydantic import ValidationError

from pretrieve.data.array_set import image_set_from_arrays
from pretrieve.data.loading import load_target
from pretrieve.data.metric_words import find_metrics
from pretrieve.data.registry import load_stored_set, register_target, save_image_set
from pretrieve.data.settings import ImageSetSettings
from pretrieve.errors import ImageSetError

OWN = "own_metric:Confidence"


@pytest.fixture
def image_set(rng):
    images, labels = rng.integers(0, 256, (6, 8, 8), dtype="uint8"), rng.permutation([0, 1, 2, 0, 1, 2])
    splits = dict.fromkeys(("train", "val", "test"), (images, labels))
    return image_set_from_arrays("set", ["a", "b", "c"], splits)


@pytest.mark.parametrize(
    ("metric", "expected"),
    [
        ({}, ("mean_per_class", ("auroc",))),
        ({"metric": "top1"}, ("top1", ())),
        ({"metric": ["top1"]}, ("top1", ())),
        ({"metric": ["macro_f1", "top1", OWN]}, ("macro_f1", ("top1", OWN))),
    ],
)
def test_the_first_metric_of_a_study_decides_and_without_one_the_sets_own(image_set, tmp_path, metric, expected):
    register_target("with metrics")(lambda: replace(image_set, metric="mean_per_class", further_metrics=("auroc",)))
    settings = ImageSetSettings.model_validate({"registered": "with metrics", "name": "set", **metric})
    loaded = load_target(settings, seed=0, cache=tmp_path)
    assert (loaded.metric, loaded.further_metrics) == expected


@pytest.mark.parametrize(
    ("metric", "fault"),
    [
        (["top1", "topp"], r"a metric must be known, but 'topp' is not; known: .*\. Did you mean 'top1'\?"),
        ([], "at least 1 item"),
        (["top1", "top1"], "must differ by name, but 'top1' and 'top1' both have the name 'top1'; leave one out"),
        ("own_metric:Nameless", r"none of score, score_ci95, score_mean, but that of 'own_metric:Nameless' is 'score'"),
        ("own_metric:Confidenc", r"must have a metric 'Confidenc', but has none\. Did you mean 'Confidence'\?"),
        ("no_such:Metric", "the module of metric 'no_such:Metric' must be importable, but No module named"),
        ("own_metric:probabilities", "must be a subclass of pretrieve's Metric, but is of type function"),
        (3, "valid tuple"),
    ],
)
def test_a_metric_that_is_none_is_refused_when_the_study_is_read(metric, fault):
    with pytest.raises(ValidationError, match=fault):
        ImageSetSettings.model_validate({"registered": "x", "metric": metric})


def test_an_image_set_of_python_with_an_unknown_metric_is_refused_by_its_name(image_set):
    with pytest.raises(ImageSetError, match=r"image set 'set': a metric must be known, but 'top5' is not; .*'top1'\?"):
        replace(image_set, metric="top5")


def test_a_metric_of_a_module_is_found():
    (metric,) = find_metrics([OWN])
    assert type(metric) is Confidence


def test_a_metric_of_an_installed_package_is_found_by_its_entry_point(tmp_path, monkeypatch):
    metadata = tmp_path / "own-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: own\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(f"[pretrieve.metrics]\nplugged_in = {OWN}\n")
    monkeypatch.syspath_prepend(tmp_path)
    (metric,) = find_metrics(["plugged_in"])
    assert metric.name == "confidence"


def test_a_stored_set_keeps_its_further_metrics(image_set, tmp_path: Path):
    with_further = replace(image_set, further_metrics=("auroc", OWN))
    save_image_set(with_further, tmp_path)
    assert load_stored_set(tmp_path) == with_further
