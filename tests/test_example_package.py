"""A package of another project brings a member of nine families, by its entry points alone."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from small_study import finish, results, start_driver, trial_runs, write_study

from pretrieve.backbones import find_architecture
from pretrieve.components import (
    HEAD_STARTS,
    OBJECTIVES,
    OPTIMIZERS,
    SCHEDULES,
    SELECTORS,
    STRATEGIES,
    TARGETS,
    VIEWS,
)
from pretrieve.testing.backbones import check_backbone
from pretrieve.testing.head_starts import check_head_start
from pretrieve.testing.objectives import check_objective
from pretrieve.testing.optimizers import check_optimizer
from pretrieve.testing.schedules import check_schedule
from pretrieve.testing.selectors import check_selector
from pretrieve.testing.strategies import check_strategy
from pretrieve.testing.targets import check_target
from pretrieve.testing.views import check_view
from pretrieve.tracking import schema

PACKAGE = Path(__file__).parent / "example_package"

STUDY = {
    "source": {"registered": "stripes", "name": "source"},
    "targets": ["stripes"],
    "recipe": "paper2022",
    "backbone": {"name": "example_net", "pretrain": {"epochs": 1, "batch_size": 8, "lr": 0.02}},
    "methods": [
        "finetune",
        {
            "name": "example",
            "selector": "mean_discrepancy",
            "selector_settings": {"width": 0.5},
            "objective": "warm_joint",
            "head_start": "mean_directions",
            "head_start_settings": {"length": 0.1},
        },
    ],
    "training": {
        "epochs": 8,
        "batch_size": 8,
        "optimizer": "sign_descent",
        "schedule": "straight_line",
        "schedule_settings": {"last": 0.2},
    },
    "search": {"strategy": "halving", "first": 2},
    "grid": {"lr": [3e-4, 1e-4], "weight_decay": [0.0], "source_weight": [0.5], "temperature": [1.0, 3.0]},
    "refit": {"num_seeds": 1},
}


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The package on the path of this process and of those that it starts."""
    monkeypatch.syspath_prepend(str(PACKAGE))
    paths = [str(PACKAGE), *filter(None, [os.environ.get("PYTHONPATH")])]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))
    yield
    for name in [name for name in sys.modules if name.split(".")[0] == "pretrieve_example"]:
        del sys.modules[name]


@pytest.mark.clusters
@pytest.mark.usefixtures("installed")
def test_a_study_of_the_packages_members_survives_its_driver(tmp_path: Path) -> None:
    file, storage = write_study(tmp_path, "example", **STUDY), tmp_path / "runs"
    study = storage / "example"
    driver = start_driver(file, storage)
    deadline = time.monotonic() + 240
    while not [run for run in known_runs(study) if run.info.status == "FINISHED"]:
        assert driver.poll() is None, driver.communicate()[0]
        assert time.monotonic() < deadline, "no trial has ended"
        time.sleep(0.5)
    os.killpg(driver.pid, signal.SIGKILL)
    driver.communicate()
    before = {run.info.run_id for run in trial_runs(study) if run.info.status == "FINISHED"}
    finish(start_driver(file, storage))
    runs = trial_runs(study)
    assert before <= {run.info.run_id for run in runs}, "what had ended was not done again"
    assert {run.info.status for run in runs} == {"FINISHED"}
    of_example = [run.data.params for run in runs if run.data.tags[schema.TAG_METHOD] == "example"]
    assert {params["temperature"] for params in of_example} == {"1.0", "3.0"}
    assert {params["objective"] for params in of_example} == {"warm_joint"}
    report = (study / "report.html").read_text(encoding="utf-8")
    assert "Learning rates that were chosen" in report
    assert "temperature" in report
    table = results(study)
    assert [row[:2] for row in table[1:]] == [["stripes", "finetune"], ["stripes", "example"]]


def known_runs(study: Path) -> list[object]:
    try:
        return trial_runs(study)
    except Exception:  # the store is not there yet, or half made
        return []


@pytest.mark.usefixtures("installed")
def test_the_contract_suites_pass_on_the_packages_members() -> None:
    check_selector(SELECTORS.build("mean_discrepancy", {}))
    check_objective(OBJECTIVES.find("warm_joint"))
    check_optimizer(OPTIMIZERS.build("sign_descent", {}))
    check_schedule(SCHEDULES.build("straight_line", {}))
    check_head_start(HEAD_STARTS.build("mean_directions", {}))
    check_strategy(STRATEGIES.build("halving", {}))
    check_view(VIEWS.build("rates", {}))
    check_target(TARGETS.find("stripes"))
    check_backbone(find_architecture("example_net"))


@pytest.mark.usefixtures("installed")
def test_the_contract_suites_find_what_is_wrong_with_seven_broken_members() -> None:
    from pretrieve_example.halving import Halving
    from pretrieve_example.mean_directions import MeanDirections
    from pretrieve_example.mean_discrepancy import MeanDiscrepancy
    from pretrieve_example.rates import Rates
    from pretrieve_example.sign_descent import SignDescent, _SignDescent
    from pretrieve_example.straight_line import StraightLine
    from pretrieve_example.warm_joint import WarmJoint

    class DrawsElsewhere(MeanDiscrepancy):
        def _select(self, problem, *, top_k, settings, rng):
            return super()._select(problem, top_k=top_k, settings=settings, rng=np.random.default_rng())

    class SumsOverImages(WarmJoint):
        def loss(self, network, target, source):
            loss = super().loss(network, target, source)
            return loss._replace(total=loss.total * len(target.labels))

    class ForgetsTheHeads(SignDescent):
        def build(self, network, hyperparameters, training):
            return _SignDescent(self.groups(network, hyperparameters)[:-1], training.momentum, 0.0)

    class Counts(StraightLine):
        calls = 0

        def factor(self, step, num_steps, steps_per_epoch, training):
            self.calls += 1
            return 1 / self.calls

    class LeavesTheBiasOut(MeanDirections):
        def start(self, problem):
            weight, _ = super().start(problem)
            return weight, torch.zeros(problem.num_classes + 1)

    class StopsSilently(Halving):
        may_stop = False

    class LeavesColumnsOut(Rates):
        def table(self, record):
            table = super().table(record)
            return replace(table, rows=[row[:2] for row in table.rows])

    for check, broken in (
        (check_selector, DrawsElsewhere()),
        (check_objective, SumsOverImages),
        (check_optimizer, ForgetsTheHeads()),
        (check_schedule, Counts()),
        (check_head_start, LeavesTheBiasOut()),
        (check_strategy, StopsSilently()),
        (check_view, LeavesColumnsOut()),
    ):
        with pytest.raises(AssertionError, match="must"):
            check(broken)
