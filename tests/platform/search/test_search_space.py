"""The search space of a cell, by the scales of its hyperparameters."""

from __future__ import annotations

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from ray import tune

from pretrieve.components.hyperparameters import BUILT_IN
from pretrieve.methods import find_method
from pretrieve.search.grid import GridSettings
from pretrieve.search.search_space import SearchSpace

SPACE = SearchSpace(
    ranges={"lr": (0.001, 0.1), "smoothing": (0.0, 0.4), "depth": (1, 8), "width": (16, 256)},
    choices={"weight_decay": (0.0, 1e-4), "head_lr_ratio": (10.0,)},
    linear=frozenset({"smoothing", "depth"}),
)


def test_a_range_is_drawn_on_its_scale_and_between_integers_as_an_integer() -> None:
    assert SPACE.distributions() == {
        "lr": FloatDistribution(0.001, 0.1, log=True),
        "smoothing": FloatDistribution(0.0, 0.4),
        "depth": IntDistribution(1, 8),
        "width": IntDistribution(16, 256, log=True),
        "weight_decay": CategoricalDistribution((0.0, 1e-4)),
        "head_lr_ratio": CategoricalDistribution((10.0,)),
    }


def test_tune_has_the_same_space_without_what_is_fixed() -> None:
    expected = {
        "lr": tune.loguniform(0.001, 0.1),
        "smoothing": tune.uniform(0.0, 0.4),
        "depth": tune.randint(1, 9),
        "width": tune.lograndint(16, 257),
        "weight_decay": tune.choice([0.0, 1e-4]),
    }
    domains = SPACE.tune_domains()
    assert list(domains) == list(expected)
    assert [str(domain.get_sampler()) for domain in domains.values()] == [
        str(domain.get_sampler()) for domain in expected.values()
    ]
    assert [domains[name].domain_str for name in expected] == [expected[name].domain_str for name in expected]


@pytest.mark.parametrize("method", ["finetune", "uot", "co_tuning"])
def test_a_hyperparameter_is_drawn_on_the_scale_that_it_declares(method: str) -> None:
    space = SearchSpace.of(GridSettings(top_k=(5, 10), head_lr_ratio=(10.0, 1.0)), find_method(method))
    logarithmic = {each.read_as for each in BUILT_IN if each.scale == "log"}
    assert set(space.ranges) <= logarithmic
    assert space.choices["head_lr_ratio"] == (10.0, 1.0), "a choice, although there are several values"
    assert not space.linear
