"""The keys of a small study change only where somebody means to: all that users have computed hangs on them."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from pretrieve.artifacts.keys import changed_fields
from pretrieve.audit.settings import AuditSettings
from pretrieve.backbones import find_architecture
from pretrieve.components.hyperparameters import BUILT_IN
from pretrieve.data.image_set import ImageSet
from pretrieve.data.image_table import table_fingerprint, table_of_contents
from pretrieve.data.registry import register_target
from pretrieve.stages.audit import AuditStage
from pretrieve.stages.context import Context, walking
from pretrieve.stages.features import FeaturesStage
from pretrieve.stages.image_cache import ImageCacheStage
from pretrieve.stages.image_sets import ImageSetsStage
from pretrieve.stages.observer import StudyObserver
from pretrieve.stages.relationships import RelationshipStage, study_inputs
from pretrieve.stages.selection import SelectionStage
from pretrieve.stages.trial_maker import TrialMaker
from pretrieve.study.study import Study
from pretrieve.training.pretraining import PretrainingSettings
from pretrieve.training.settings import AugmentationSettings, TrainingSettings
from pretrieve_selection import SelectionSettings

GOLDEN = Path(__file__).with_name("golden_keys.json")
REMEDY = f"""If this change of keys is meant, raise the version of what changed, say so in the CHANGELOG (users' studies
start anew), remove {GOLDEN.name} and run this test twice."""


def bitmap(seed: int) -> bytes:
    """Write a picture of 8 × 8 pixels by rule, as no encoder's version may enter a key either."""
    header = struct.pack("<2sIHHIIiiHHIIiiII", b"BM", 54 + 192, 0, 0, 54, 40, 8, 8, 1, 24, 0, 192, 2835, 2835, 0, 0)
    return header + bytes((seed * 31 + place * 7 * (1 + seed % 5)) % 256 for place in range(192))


def image_set(name: str, num_classes: int, splits: Mapping[str, int]) -> ImageSet:
    """Make a set with so many images of each class in each split."""
    tables = {}
    for split, per_class in splits.items():
        labels = [label for label in range(num_classes) for _ in range(per_class)]
        paths = [f"{split}/{place}.bmp" for place in range(len(labels))]
        contents = [bitmap(len(split) * 1000 + 50 * label + place) for place, label in enumerate(labels)]
        tables[split] = table_of_contents(paths, contents, labels)
    fingerprints = {split: table_fingerprint(table) for split, table in tables.items()}
    return ImageSet(name, tuple(f"class {k}" for k in range(num_classes)), tables, fingerprints)


register_target("golden-source")(lambda: image_set("golden-source", 6, {"train": 8}))
register_target("golden-target")(lambda: image_set("golden-target", 3, {"train": 10, "test": 6}))


@pytest.fixture
def study(tmp_path: Path) -> Study:
    """Make a study whose network has weights by rule, so that no machine's arithmetic enters a key."""
    state = find_architecture("small_resnet").build().state_dict()
    weights = {name: torch.full_like(value, 1 + place) for place, (name, value) in enumerate(state.items())}
    classifier = {"fc.weight": torch.arange(6 * 64.0).reshape(6, 64), "fc.bias": torch.zeros(6)}
    torch.save({**weights, **classifier}, tmp_path / "weights.pt")
    return Study(
        name="golden",
        recipe="paper2022",
        source="golden-source",
        targets=["golden-target"],
        backbone={"name": "small_resnet", "weights": str(tmp_path / "weights.pt")},
        methods=["finetune", "random", "label", "co_tuning"],
        selection={"top_k": 2, "label_groups": {"golden-target": [1, 4]}},
        audit=True,
        grid={"lr": [0.02], "weight_decay": [0.0], "source_weight": [0.5], "co_tuning_lr": [0.01]},
        training={"epochs": 2, "batch_size": 8},
        storage=str(tmp_path / "runs"),
    )


@pytest.mark.usefixtures("ray_cluster")
def test_the_keys_of_a_small_study_are_those_of_the_golden_file(study: Study) -> None:
    with walking(study.settings, StudyObserver()) as context:
        found = _keys(context)
    if not GOLDEN.exists():
        GOLDEN.write_text(json.dumps(found, indent=2, sort_keys=True) + "\n", encoding="utf-8")
        pytest.fail(f"{GOLDEN} was not there, and is written now: look at it and commit it")
    golden = json.loads(GOLDEN.read_text(encoding="utf-8"))
    assert found == golden, REMEDY


def test_the_defaults_that_keys_leave_out_are_those_of_the_golden_file() -> None:
    # A key holds what differs from a default: with another default the same key would stand for another result.
    golden = json.loads(GOLDEN.read_text(encoding="utf-8"))["defaults"]
    assert _defaults() == golden, "a setting that a key leaves out at its default has got another default. " + REMEDY


def test_a_setting_at_its_default_leaves_a_key_as_it_was() -> None:
    assert changed_fields(AuditSettings()) == {}
    assert changed_fields(AuditSettings(num_bits=64)) == {"num_bits": 64}


def _keys(context: Context) -> dict[str, Any]:
    sets = context.get(ImageSetsStage)
    inputs = study_inputs(context)
    trial_maker = TrialMaker(context.settings, inputs, lambda key: Path(f"{key}.jsonl"))
    cells = trial_maker.cells()
    tasks = [task for cell in cells for task in cell.trials]
    tasks += [task for cell in cells for task in trial_maker.refits(cell, cell.trials[0].spec.hyperparameters)]
    stages = (ImageSetsStage, FeaturesStage, SelectionStage, AuditStage, ImageCacheStage, RelationshipStage)
    root = context.store.root
    return {
        "fingerprints": {each.name: dict(each.fingerprints) for each in (sets.source, *sets.targets.values())},
        "backbone": inputs.backbone.identity,
        "artifacts": {
            stage.name: sorted(path.relative_to(root).as_posix() for path in stage().artifacts(context))
            for stage in stages
        },
        "trials": {f"{t.spec.kind} {t.spec.method} {t.spec.seed}": t.spec.key for t in tasks},
        "defaults": _defaults(),
    }


def _defaults() -> Mapping[str, Any]:
    settings = (TrainingSettings(), AugmentationSettings(), PretrainingSettings())
    plain = {type(each).__name__: each.model_dump(mode="json") for each in settings}
    plain["Hyperparameters"] = {each.name: each.default for each in BUILT_IN if not each.stands_for}
    dataclasses = (SelectionSettings(), AuditSettings())
    plain |= {type(each).__name__: dict(vars(each)) for each in dataclasses}
    return plain
