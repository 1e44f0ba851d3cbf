"""Stage: the images of the targets and of the selections, decoded once; those that do not decode are listed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path

from pretrieve.artifacts.atomic_files import write_json
from pretrieve.components.hyperparameters import TOP_K
from pretrieve.data.image_set import ImageSet
from pretrieve.errors import ImageSetError
from pretrieve.image_cache.build import build_entries, missing_entries
from pretrieve.image_cache.card import Layout, read_card
from pretrieve.image_cache.entries import CacheEntry
from pretrieve.records.forecast import StageForecast
from pretrieve.stages._base import Stage
from pretrieve.stages.audit import AuditStage
from pretrieve.stages.backbone import BackboneStage
from pretrieve.stages.calibration import Calibration
from pretrieve.stages.context import Context
from pretrieve.stages.features import notice_broken
from pretrieve.stages.image_sets import ImageSetsStage, faults_of_a_step, smaller_than_a_batch
from pretrieve.stages.selection import SourceChoice
from pretrieve.stages.study_inputs import StudyInputs, split_entry

IMAGES = "images"
LEFT_OUT_ARTIFACT = "left_out_images.json"
COUNTED: dict[str, Layout] = {"train": "whole", "val": "square", "test": "square"}

TRIALS_READ: tuple[tuple[str, Layout], ...] = (
    ("train", "whole"),
    ("val", "square"),
    ("val", "whole"),  # refits train on it as well
    ("test", "square"),
)
"""The splits of a target that trials and refits read, and how their images are cached."""


class ImageCacheStage(Stage[StudyInputs]):
    """Decodes the images that trials read, and returns the inputs of the study."""

    name = "image cache"
    place = 70

    def load(self, context: Context) -> StudyInputs | None:
        """Return the inputs of the trials where all their images are decoded.

        Raises:
          ImageSetError: no image of a split decodes, or none of a class of train.
        """
        inputs, entries = _needed(context)
        if missing_entries(entries, inputs.images):
            return None
        for entry in entries:
            notice_broken(read_card(inputs.images / entry.key).broken, context.clock)
        for sentence in describe_left_out(count_decoded(inputs)):
            context.clock.notice(sentence)
        _check_what_decoded(inputs, context)
        _check_what_is_reused(inputs)
        return inputs

    def make(self, context: Context) -> None:
        """Decode on the cluster what the cache lacks.

        Raises:
          OSError: an image's file cannot be read, or an entry cannot be written.
        """
        inputs, entries = _needed(context)
        missing = missing_entries(entries, inputs.images)
        total, absent = _num_rows(entries), _num_rows(missing)
        with context.clock.stage(self.name, total=total, done=total - absent) as progressed:
            context.cluster.connect()
            build_entries(missing, inputs.images, on_progress=progressed)

    def num_pieces(self, context: Context) -> int:
        return _num_rows(_needed(context)[1])

    def artifacts(self, context: Context) -> list[Path]:
        inputs, entries = _needed(context)
        return [inputs.images / entry.key for entry in entries]

    def estimate(self, context: Context, measured: Calibration) -> StageForecast | None:
        """Count the images to decode; the part of the source that will be selected is estimated."""
        sets, folder, size = context.get(ImageSetsStage), context.store.root / IMAGES, measured.image_size
        counts = {}
        for name, target in sets.targets.items():
            entries = [split_entry(target.whole, split, size, layout) for split, layout in _read_of(target)]
            counts[name] = _num_rows(missing_entries(entries, folder))
        # Without a backbone, the pre-training decodes the whole source first.
        if context.find(BackboneStage) is not None and context.settings.selecting:
            counts[sets.source.name] = round(_share_reused(context) * sets.source.num_images("train"))
        total, seconds = sum(counts.values()), measured.decoding_s(counts)
        return StageForecast(self.name, seconds, f"{total:,} images" if total else "", total * measured.image_bytes)


def describe_inputs(context: Context, choice: SourceChoice) -> StudyInputs:
    """Describe the inputs of the trials for a choice of source images; decodes no image."""
    sets = context.get(ImageSetsStage)
    return StudyInputs(
        sets.source,
        sets.targets,
        context.get(BackboneStage),
        choice.units,
        choice.selections,
        context.store.root / IMAGES,
        top_ks=context.settings.grid.of(TOP_K) or (None,),
        units_with_leaks=choice.units_with_leaks,
    )


def _num_rows(entries: list[CacheEntry]) -> int:
    return sum(entry.table.num_rows for entry in {entry.key: entry for entry in entries}.values())


def _share_reused(context: Context) -> float:
    """Estimate the share of the source that is in some selection, as if each drew its groups at random."""
    settings, source = context.settings, context.get(ImageSetsStage).source
    available = {
        "class": source.num_classes,
        "cluster": settings.selection.num_clusters,
        "image": source.num_images("train"),
    }[settings.selection.unit]
    num_selections = len(settings.targets) * len(settings.selecting)
    return float(1 - (1 - min(1.0, settings.largest_top_k / available)) ** num_selections)


def _needed(context: Context) -> tuple[StudyInputs, list[CacheEntry]]:
    """Return the inputs of the trials, and the entries that they and the relationships read."""
    inputs = describe_inputs(context, context.get(AuditStage))
    # A relationship is learned from training images, cropped as for prediction.
    further: list[tuple[str, Layout]] = [("train", "square")] if context.settings.relating else []
    entries = [
        split_entry(target.whole, split, inputs.image_size, layout)
        for target in inputs.targets.values()
        for split, layout in dict.fromkeys([*_read_of(target), *further])
    ]
    return inputs, [*entries, *inputs.reused_entries()]


def _read_of(target: ImageSet) -> list[tuple[str, Layout]]:
    """List the splits that the trials of a target read, with their layouts; those of the whole set, if it is drawn."""
    if target.drawn_from is not None:
        read: list[tuple[str, Layout]] = [("train", "whole"), ("train", "square"), ("test", "square")]
        return [(split, layout) for split, layout in read if split in target.whole.splits]
    return [(split, layout) for split, layout in TRIALS_READ if split in target.splits]


def _check_what_decoded(inputs: StudyInputs, context: Context) -> None:
    for (name, target), (split, layout) in product(inputs.targets.items(), COUNTED.items()):
        if split not in target.splits:
            continue
        found = inputs.images_of(name, [split], layout).images().labels.tolist()
        lost = sorted(set(range(target.num_classes)) - set(found))
        if not found or (split == "train" and lost):
            names = ", ".join(target.class_names[k] for k in lost[:5])
            none = f"none of {names} does" if found else "none does"
            raise ImageSetError(
                f"images of {name!r}, split {split!r}, must decode, but {none}; see the notes above for the files"
            )
    for name, splits in count_decoded(inputs).items():
        train, batch_size = splits["train"], context.settings.training.batch_size
        num_val = splits["val"].num_decoded if "val" in splits else 0
        for fault in faults_of_a_step(context.settings, name, train.num_decoded, num_val):
            raise ImageSetError(f"{fault}; see the notes above for the files that do not decode")
        if train.num_decoded < batch_size <= train.num_listed:  # a smaller list has its notice already
            context.clock.notice(smaller_than_a_batch(name, train.num_decoded, batch_size))


def _check_what_is_reused(inputs: StudyInputs) -> None:
    for (target, method), top_k in product(inputs.selections, inputs.top_ks):
        reused = inputs.reused(target, method, top_k)
        assert reused is not None, "it has a selection"
        cards = [read_card(folder) for folder in reused.folders]
        if not any(card.num_images for card in cards):
            raise ImageSetError(
                f"what {method} reuses of the source for {target!r} must hold images, but of the {reused.num_units} "
                f"units it selected first none is left: they {'do not decode' if cards else 'all show test images'}; "
                "see the notes above, and select more of the source (selection.top_k, grid.top_k)"
            )


@dataclass(frozen=True)
class SplitCounts:
    """How many images a split lists, and how many are used.

    Attributes:
      num_decoded: images that training reads, or that a score is divided by.
      left_out: "path: reason" of each other image.
    """

    num_listed: int
    num_decoded: int
    left_out: tuple[str, ...]


def count_decoded(inputs: StudyInputs) -> dict[str, dict[str, SplitCounts]]:
    """Count the images of every target and split, from the finished image cache."""

    def count(name: str, split: str) -> SplitCounts:
        num_listed = inputs.targets[name].num_images(split)
        broken = inputs.images_of(name, [split], COUNTED[split]).broken()
        return SplitCounts(num_listed, num_listed - len(broken), broken)

    return {
        name: {split: count(name, split) for split in COUNTED if split in target.splits}
        for name, target in inputs.targets.items()
    }


def describe_left_out(counts: Mapping[str, Mapping[str, SplitCounts]]) -> Iterator[str]:
    """Yield a sentence for each split from which images are left out."""
    for name, splits in counts.items():
        for split, found in splits.items():
            if found.left_out:
                what = "training has" if split == "train" else f"a {split} score counts"
                yield (
                    f"{what} {found.num_decoded} of the {found.num_listed} {split} images of {name!r}: "
                    f"{len(found.left_out)} left out, because they do not decode"
                )


def write_left_out(inputs: StudyInputs, folder: Path) -> Path:
    """Write the counts and names as JSON into a study's folder, also where nothing is left out."""
    path, counts = folder / LEFT_OUT_ARTIFACT, count_decoded(inputs).items()
    write_json(path, {name: {split: asdict(found) for split, found in splits.items()} for name, splits in counts})
    return path
