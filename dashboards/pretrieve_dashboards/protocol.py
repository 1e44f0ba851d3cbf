"""The differences between a study's settings and the paper's protocol."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Any, NamedTuple

from pretrieve.records import StudyRecord

PAPER_BACKBONES = ("resnet18", "moco_resnet50")
PAPER_METHODS = frozenset({"finetune", "co_tuning", "random", "greedy_ot", "uot", "label"})
NUM_CLUSTERS_CHOSEN, NUM_CLASSES_CHOSEN = 200, 100
NOT_SET = object()


class Deviation(NamedTuple):
    """One difference from the paper, in `data`, `backbone`, `training`, `selection`, `grid`, `seeds` or `methods`."""

    part: str
    what: str
    paper: str
    here: str


class _Setting(NamedTuple):
    part: str
    path: str
    what: str
    paper: Any
    paper_words: str = ""  # how the paper says it, if the value alone would not be understood


_SETTINGS = (
    _Setting("training", "training.epochs", "epochs", 100),
    _Setting("training", "training.steps", "steps", None, "as many as 100 epochs have"),
    _Setting("training", "training.min_steps", "steps at least", None, "as many as 100 epochs have"),
    _Setting("training", "training.longer", "rows without a source train as long as those with one", False),
    _Setting("training", "training.batch_size", "target images a step", 256),
    _Setting("training", "training.source_batch_size", "source images a step", None, "as many as target images"),
    _Setting("training", "training.optimizer", "optimizer", "sgd", "SGD with Nesterov momentum"),
    _Setting("training", "training.optimizer_settings", "settings of the optimizer", {}),
    _Setting("training", "training.schedule", "schedule of the learning rate", "step", "divided by 10 twice"),
    _Setting("training", "training.schedule_settings", "settings of the schedule", {}),
    _Setting("training", "training.decay_at", "learning rate falls after", [0.6, 0.8], "60 and 80 of 100 epochs"),
    _Setting("training", "training.decay_factor", "learning rate falls to", 0.1),
    _Setting("training", "training.batch_norm", "batch norm sees", "both_streams", "both streams together"),
    _Setting("training", "training.learns", "layers that learn", "all"),
    _Setting("training", "training.weight_average", "decay of the averaged weights", None),
    _Setting("training", "training.max_gradient_norm", "largest norm of a gradient", None),
    _Setting("training", "training.augmentation.crop_area", "area of a crop", [0.08, 1.0]),
    _Setting("training", "training.augmentation.flip", "mirrored images", True),
    _Setting("training", "training.label_smoothing", "label smoothing", 0.0, "none"),
    _Setting("training", "training.mix", "mixing of target images", None),
    _Setting("training", "training.mix_source", "mixing with source images", None),
    _Setting("training", "training.class_balance", "balance of the classes", None),
    _Setting("selection", "selection.cost", "cost", "cosine"),
    _Setting("selection", "selection.cost_scale", "cost scale ε_c", 0.01),
    _Setting("selection", "selection.entropy_weight", "entropy weight ε", 1.0),
    _Setting("selection", "selection.source_penalty", "source penalty τ₁", 1.0),
    _Setting("selection", "selection.target_penalty", "target penalty τ₂", 100.0),
    _Setting("selection", "selection.greedy_cost", "cost of Greedy-OT", "l2"),
    _Setting("selection", "selection.rank_from", "first rank selected", 0),
    _Setting("selection", "selection.source_fraction", "share of a group's images", None, "all"),
    _Setting("grid", "search.strategy", "search", "grid", "every point, to its end"),
    _Setting("grid", "grid.lr", "learning rates", [0.1, 0.03, 0.01, 0.003, 0.001]),
    _Setting("grid", "grid.weight_decay", "weight decays", [1e-4, 1e-5, 0.0]),
    _Setting("grid", "grid.source_weight", "λ", [1.0, 0.3, 0.1]),
    _Setting("grid", "grid.head_lr_ratio", "head over backbone rate", [10.0, 1.0, 0.1]),
)


def deviations(record: StudyRecord) -> tuple[Deviation, ...]:
    """List the differences between a study's settings and the paper's protocol (section 4.1, appendix A)."""
    settings = record.settings
    found = (_of_data(record), _of_backbone(record), _of_settings(settings), _of_selection(settings), _of_table(record))
    return tuple(chain.from_iterable(found))


def _of_data(record: StudyRecord) -> Iterator[Deviation]:
    source = record.settings.get("source")
    if isinstance(source, Mapping) and not source.get("imagenet") and source.get("name") != "imagenet":
        here = source.get("name") or source.get("registered") or source.get("folder") or "other data"
        yield Deviation("data", "source", "ImageNet-1k, 1,281,167 images", str(here))
    image_sets: Any = record.settings.get("targets") or ()
    for target, image_set in zip(record.targets, image_sets, strict=False):
        if not isinstance(image_set, Mapping):
            continue
        if not image_set.get("published"):
            size = f"{target.num_classes} classes, {target.num_images.get('train', 0)} images to train on"
            yield Deviation("data", f"target {target.name}", "one of eight published sets", f"own data: {size}")
        regime = {name: value for name, value in (image_set.get("regime") or {}).items() if value is not None}
        if regime:
            here = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in regime.items())
            yield Deviation("data", f"images of {target.name}", "all, except in section 4.3", here)


def _of_backbone(record: StudyRecord) -> Iterator[Deviation]:
    if record.backbone.split("@")[0] not in PAPER_BACKBONES:
        yield Deviation("backbone", "network", "ResNet18 of ImageNet labels, or MoCo-v2 ResNet50", record.backbone)
    pretrain, image_size = _at(record.settings, "backbone.pretrain"), _at(record.settings, "backbone.image_size")
    if pretrain is not NOT_SET and pretrain:
        yield Deviation("backbone", "weights", "pre-trained on ImageNet-1k", "pre-trained on the study's source")
    if image_size not in (NOT_SET, None, 224):
        yield Deviation("backbone", "image size", "224 px", f"{image_size} px")


def _of_settings(settings: Mapping[str, object]) -> Iterator[Deviation]:
    for setting in _SETTINGS:
        here = _at(settings, setting.path)
        if here is not NOT_SET and not _is_same(here, setting.paper):
            paper = setting.paper_words or _as_words(setting.paper)
            yield Deviation(setting.part, setting.what, paper, _as_words(here))


def _of_selection(settings: Mapping[str, object]) -> Iterator[Deviation]:
    selecting = _at(settings, "selection.backbone.name")
    if selecting is not NOT_SET:
        yield Deviation("selection", "network whose features select", "the one that is trained", str(selecting))
    unit, top_k = _at(settings, "selection.unit"), _at(settings, "selection.top_k")
    if unit == "image":
        yield Deviation("selection", "what is chosen", "classes or clusters", "single images")
        return
    by_grid = _at(settings, "grid.top_k")
    here = by_grid if isinstance(by_grid, list) and by_grid else top_k
    noun, paper = ("clusters", NUM_CLUSTERS_CHOSEN) if unit == "cluster" else ("classes", NUM_CLASSES_CHOSEN)
    if here is not NOT_SET and here != paper:
        yield Deviation("selection", f"{noun} chosen", str(paper), _as_words(here))
    num_clusters = _at(settings, "selection.num_clusters")
    if unit == "cluster" and num_clusters not in (NOT_SET, 2000):
        yield Deviation("selection", "clusters", "2000", _as_words(num_clusters))


def _of_table(record: StudyRecord) -> Iterator[Deviation]:
    num_seeds = _at(record.settings, "refit.num_seeds")
    if num_seeds is not NOT_SET:
        yield Deviation("seeds", "refits of each cell", "not stated, no interval", str(num_seeds))
    own = [method for method in record.methods if method not in PAPER_METHODS]
    if own:
        yield Deviation("methods", "rows of the table", "not in the paper", ", ".join(own))


def _at(settings: Mapping[str, object], path: str) -> Any:
    value: Any = settings
    for name in path.split("."):
        if not isinstance(value, Mapping) or name not in value:
            return NOT_SET
        value = value[name]
    return value


def _is_same(here: Any, paper: Any) -> bool:
    if isinstance(here, list | tuple) and isinstance(paper, list | tuple):
        return sorted(here) == sorted(paper)
    return bool(here == paper)


def _as_words(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(_as_words(each) for each in value)
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_as_words(each)}" for name, each in value.items()) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float | int):
        return f"{value:g}"
    return "none" if value is None else str(value)
