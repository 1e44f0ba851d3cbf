"""The card of a registered model, in Markdown: what it was made from, how well it does, and where that ends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pretrieve.records import CellRecord, StudyRecord, TrialRecord
from pretrieve_dashboards import wording
from pretrieve_dashboards.mlflow_notes import escaped

LIMITS = """- It gives every image one of its classes, also an image of something else.
- Its scores hold for images like those of the test split. Those of another camera, place or time may score lower.
- What an image file holds besides its pixels is ignored: the orientation and the colour profile, and all frames of an
  animation but the first."""

Share = tuple[str, int, float]
"""Of a class: its name, its test images, and the share in [0, 1] of them that is right."""


def render_model_card(
    record: StudyRecord,
    cell: CellRecord,
    refit: TrialRecord,
    *,
    class_shares: Sequence[Share],
    source: str | None,
    licences: Mapping[str, str],
) -> str:
    """Write the card of the model that is a refit of a cell.

    Args:
      record: of its study.
      cell: of the record.
      refit: of the cell, with a test score.
      class_shares: of the classes with test images; empty where predictions are not kept.
      source: its name; None for a study without one.
      licences: of the image sets whose licence is known, by name.
    """
    target = next(each for each in record.targets if each.name == cell.target)
    images = ", ".join(f"{number:,} {split}" for split, number in target.num_images.items())
    scores = ", ".join(map(wording.percent, cell.test_scores))
    temperature = cell.temperature(refit.repeat)
    verdicts = [] if record.verdict is None else [_verdict(record, cell)]
    calibrated = (
        "Probabilities are not calibrated: no images were held out in folds."
        if temperature is None
        else f"Probabilities are calibrated on the images that folds held out: class scores are divided by "
        f"{temperature:.3g} before the softmax."
    )
    parts = [
        f"# {escaped(record.name)} · {escaped(cell.target)}",
        f"A classifier of images in {target.num_classes} classes, fine-tuned by Pretrieve.",
        f"## Data\n\n- target: {escaped(cell.target)}, {images} images\n{_reused(record, cell, source)}",
        f"## Method\n\n- row: {escaped(cell.method)}\n- network: {escaped(record.backbone)}\n"
        f"- configuration, chosen on validation: {escaped(wording.hyperparameters(refit.hyperparameters))}",
        f"## Test\n\n- this model: {wording.percent(refit.score)} % {escaped(wording.metric(target))}\n- mean of "
        f"{len(cell.test_scores)} refits: {wording.score(cell.test_mean, cell.test_ci95)} % ({scores})",
        *verdicts,
        *([_class_table(class_shares)] if class_shares else []),
        f"## Limits\n\n{LIMITS}\n- {calibrated}",
        f"## Licences\n\n{_licences(licences, {'source': source, 'target': cell.target})}",
        f"## Origin\n\n- study: {escaped(record.name)}, run {record.run_id}\n- refit: run {refit.run_id}, key "
        f"{refit.key}",
    ]
    return "\n\n".join(parts) + "\n"


def _reused(record: StudyRecord, cell: CellRecord, source: str | None) -> str:
    if source is None:
        return "- source: none"
    found = [each for each in record.selections if (each.target, each.method) == (cell.target, cell.method)]
    if not found:
        return f"- reused of the source {escaped(source)}: no images; the network was pre-trained elsewhere or on it"
    one = found[0]
    return (
        f"- reused of the source {escaped(source)}: {one.num_images:,} images of {one.num_selected:,} selected among "
        f"{one.num_units:,}, the first: {escaped(', '.join(one.names[:5]))}"
    )


def _verdict(record: StudyRecord, cell: CellRecord) -> str:
    assert record.verdict is not None
    said = [each for each in record.verdict.contrasts if each.target in (None, cell.target)]
    lines = "\n".join(f"- {escaped(each.sentence)}" for each in said) or "- no contrast is judged yet"
    return f"## Verdict of the study, from {record.verdict.num_repeats} repeats\n\n{lines}"


def _class_table(shares: Sequence[Share]) -> str:
    rows = [f"| {escaped(name)} | {number} | {wording.percent(share)} |" for name, number, share in shares]
    return "\n".join(["## Classes", "", "| class | test images | right, % |", "|---|---|---|", *rows])


def _licences(known: Mapping[str, str], names: Mapping[str, str | None]) -> str:
    return "\n".join(
        f"- {side} {escaped(name)}: {escaped(known.get(name, 'not known here; ask its publisher before you pass on'))}"
        for side, name in names.items()
        if name is not None
    )
