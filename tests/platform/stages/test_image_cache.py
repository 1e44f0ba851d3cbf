"""The image cache of a study's targets: whole images to train on, centre squares to predict on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from pretrieve.backbones import Backbone
from pretrieve.data.decode import decode_square, decode_whole, encode_png
from pretrieve.data.image_set import ImageSet
from pretrieve.data.image_table import table_fingerprint, table_of_contents
from pretrieve.errors import ImageSetError
from pretrieve.image_cache.cached_images import CachedImages
from pretrieve.image_cache.card import Layout
from pretrieve.stages.audit import AuditStage
from pretrieve.stages.backbone import BackboneStage
from pretrieve.stages.context import walking
from pretrieve.stages.image_cache import ImageCacheStage
from pretrieve.stages.image_sets import ImageSets, ImageSetsStage
from pretrieve.stages.observer import StudyObserver
from pretrieve.stages.selection import SourceChoice
from pretrieve.stages.source_units import ClassUnits, ClusterUnits, ImageUnits
from pretrieve.stages.study_inputs import StudyInputs
from pretrieve.study.settings import StudySettings
from pretrieve_selection import Selection

pytestmark = pytest.mark.usefixtures("ray_cluster")


def wide_set(name: str, seed: int) -> ImageSet:
    """Two classes of pictures that are 60 × 40."""
    rng = np.random.default_rng(seed)
    splits = {}
    for split in ("train", "val", "test"):
        pictures = rng.integers(0, 256, (4, 40, 60, 3), dtype=np.uint8)
        splits[split] = table_of_contents(["a", "b", "c", "d"], list(map(encode_png, pictures)), [0, 1, 0, 1])
    fingerprints = {split: table_fingerprint(table) for split, table in splits.items()}
    return ImageSet(name, ("a", "b"), splits, fingerprints)


@pytest.fixture
def inputs(tmp_path: Path, make_settings: Callable[..., StudySettings]) -> StudyInputs:
    source, target = wide_set("source", 1), wide_set("target", 2)
    selection = Selection("uot", (1,), np.array([0.0, 1.0]), margin=1.0, converged=True, iterations=1)
    backbone = Backbone("small_resnet", tmp_path / "weights.pt", "identity")
    choice = SourceChoice({"target": ClassUnits(source, "classes")}, {("target", "uot"): selection})
    settings = make_settings(methods=["uot"], training={"epochs": 1, "batch_size": 4}, storage=str(tmp_path / "runs2"))
    with walking(settings, StudyObserver()) as context:
        context.results |= {
            ImageSetsStage: ImageSets(source, {"target": target}),
            BackboneStage: backbone,
            AuditStage: choice,
        }
        return context.get(ImageCacheStage)


def test_training_reads_whole_images_and_evaluation_centre_squares(inputs: StudyInputs) -> None:
    size = inputs.image_size
    read: tuple[tuple[str, Layout], ...] = (("train", "whole"), ("val", "whole"), ("val", "square"), ("test", "square"))
    for split, layout in read:
        images = inputs.images_of("target", [split], layout).images()
        contents = inputs.targets["target"].splits[split]["content"].to_pylist()
        is_whole = layout == "whole"
        decoded = [decode_whole(each, size)[0] if is_whole else decode_square(each, size) for each in contents]
        np.testing.assert_array_equal(images.gather(torch.arange(4)).numpy(), np.stack(decoded))
        assert images.aspects.tolist() == [1.5 if is_whole else 1] * 4


def test_reused_images_are_whole(inputs: StudyInputs) -> None:
    reused = inputs.reused("target", "uot")
    assert reused is not None
    images = CachedImages(reused.folders)
    assert images.aspects.tolist() == [1.5, 1.5]
    assert images.labels.tolist() == [1, 1]


def test_a_selection_of_which_no_image_decodes_is_refused_before_the_trials(
    tmp_path: Path, make_settings: Callable[..., StudySettings]
) -> None:
    source, target = wide_set("source", 1), wide_set("target", 2)
    contents = [
        b"no image" if label else content
        for content, label in zip(
            source.splits["train"]["content"].to_pylist(), source.splits["train"]["label"].to_pylist(), strict=True
        )
    ]
    table = table_of_contents(["a", "b", "c", "d"], contents, [0, 1, 0, 1])
    broken = replace(
        source,
        splits={**source.splits, "train": table},
        fingerprints={**source.fingerprints, "train": table_fingerprint(table)},
    )
    selection = Selection("uot", (1,), np.array([0.0, 1.0]), margin=1.0, converged=True, iterations=1)
    backbone = Backbone("small_resnet", tmp_path / "weights.pt", "identity")
    choice = SourceChoice({"target": ClassUnits(broken, "classes")}, {("target", "uot"): selection})
    settings = make_settings(methods=["uot"], training={"epochs": 1, "batch_size": 4}, storage=str(tmp_path / "runs2"))
    with walking(settings, StudyObserver()) as context:
        context.results |= {
            ImageSetsStage: ImageSets(broken, {"target": target}),
            BackboneStage: backbone,
            AuditStage: choice,
        }
        with pytest.raises(ImageSetError, match="of the 1 units it selected first none is left"):
            context.get(ImageCacheStage)


def test_a_target_that_broken_images_leave_smaller_than_a_batch_is_named(
    tmp_path: Path, make_settings: Callable[..., StudySettings]
) -> None:
    source, target, heard = wide_set("source", 1), wide_set("target", 2), []
    contents = [*target.splits["train"]["content"].to_pylist()[:3], b"no image"]
    train = table_of_contents(["a", "b", "c", "d"], contents, [0, 1, 0, 1])
    target = replace(
        target,
        splits={**target.splits, "train": train},
        fingerprints={**target.fingerprints, "train": table_fingerprint(train)},
    )

    class Ear(StudyObserver):
        def noticed(self, message: str) -> None:
            heard.append(message)

    def walked(num_workers: int) -> None:
        training, compute = {"epochs": 1, "batch_size": 4}, {"workers_per_trial": num_workers}
        runs = str(tmp_path / "runs2")
        settings = make_settings(methods=["finetune"], training=training, compute=compute, storage=runs)
        with walking(settings, Ear()) as context:
            context.results |= {
                ImageSetsStage: ImageSets(source, {"target": target}),
                BackboneStage: Backbone("small_resnet", tmp_path / "weights.pt", "identity"),
                AuditStage: SourceChoice({}, {}),
            }
            context.get(ImageCacheStage)

    walked(num_workers=1)
    assert sum("'target' has 3 images to train on, fewer than training.batch_size, 4" in each for each in heard) == 1
    with pytest.raises(ImageSetError, match=r"'target' has fewer images, 3 in train, .*; see the notes above"):
        walked(num_workers=2)


def test_every_kind_of_unit_is_cached_whole() -> None:
    source = wide_set("source", 1)
    clusters = ClusterUnits(source, "clusters", assignment=np.array([0, 0, 1, 1]), num_clusters=2)
    images = ImageUnits(source, "images", decoded=np.arange(4))
    for units in (ClassUnits(source, "classes"), clusters, images):
        assert {entry.layout for entry in units.entries([0, 1], 32)} == {"whole"}
