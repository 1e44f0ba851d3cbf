"""The record of each selection: what was chosen, how surely, and how it compares; as JSON and as a figure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pretrieve.artifacts.atomic_files import replacing, write_json
from pretrieve.data.group_lists import read_group_list
from pretrieve.methods import Method
from pretrieve.records import SelectionRecord
from pretrieve.records.codec import to_json
from pretrieve.stages.selection_pictures import read_thumbnails, write_selection_pictures
from pretrieve.stages.selection_settings import selector_of
from pretrieve.stages.source_units import SourceUnits
from pretrieve.stages.study_inputs import StudyInputs
from pretrieve.tracking import schema
from pretrieve_selection import Selection, rank_groups, recall_at_k

if TYPE_CHECKING:
    from pretrieve.study.settings import StudySettings

MAX_LISTED = 1_000
"""Units that a record lists; a selection of many images has its first ones here and all of them in the cache."""

MAX_CLASSES_LISTED = 50


def write_selection_records(settings: StudySettings, inputs: StudyInputs) -> list[Path]:
    """Write the record, the figure and the pictures of every selection into the study's folder; return the files.

    Raises:
      UserError: an expected group is none of the source's.
    """
    from pretrieve_dashboards import ranked_similarity

    files: list[Path] = []
    for (target, method), selection in inputs.selections.items():
        folder, selections = settings.folder / schema.SELECTIONS_FOLDER / target, inputs.selections.items()
        expected = settings.selection.expected_groups.get(target)
        others = {other: compared for (of, other), compared in selections if of == target and other != method}
        record = selection_record(
            inputs.units[target],
            selection,
            cell=(target, settings.method(method)),
            others=others,
            expected=None if expected is None else read_group_list(expected, inputs.source.class_names),
            top_ks=settings.top_ks(method),
        )
        paths = [folder / f"{method}.{kind}" for kind in ("json", "svg", "jpg")]
        write_selection_pictures(inputs.units[target], selection, paths[2])
        write_json(paths[0], to_json(replace(record, thumbnails=tuple(read_thumbnails(paths[2])))))
        with replacing(paths[1]) as temporary:
            temporary.write_text(ranked_similarity(record), encoding="utf-8")
        files += paths
    return files


def selection_record(
    units: SourceUnits,
    selection: Selection,
    *,
    cell: tuple[str, Method],
    others: Mapping[str, Selection],
    expected: Sequence[int] | None,
    top_ks: Sequence[int],
) -> SelectionRecord:
    """Describe a selection, but for its pictures; of very many units the first MAX_LISTED are listed.

    `others` are the other methods' selections of the same target; `expected` are classes of the source that should be
    found; `top_ks` are the numbers of units at which trials cut the selection.
    """
    listed, selector = selection.groups[:MAX_LISTED], selector_of(cell[1])
    scores = tuple(float(selection.scores[group]) for group in listed)
    class_counts = units.class_counts(selection.groups)
    return SelectionRecord(
        target=cell[0],
        method=cell[1].name,
        unit=units.unit,
        groups=listed,
        names=tuple(units.name(group) for group in listed),
        scores=scores,
        masses=tuple(math.exp(score) for score in scores) if selector and selector.scores_are_log_masses else None,
        ranks=tuple((np.argsort(rank_groups(selection.scores))[list(listed)] + 1).tolist()),
        num_selected=len(selection.groups),
        num_units=len(units),
        num_images=sum(class_counts.values()),
        classes=dict(list(class_counts.items())[:MAX_CLASSES_LISTED]),
        margin=selection.margin,
        margins={top_k: _margin_at(selection, top_k) for top_k in top_ks},
        converged=selection.converged,
        iterations=selection.iterations,
        num_shared={other: len(set(selection.groups) & set(each.groups)) for other, each in others.items()},
        recall=None if expected is None else _recall(units, selection, expected),
        ranks_by_similarity=selector is None or selector.ranks_by_similarity,
    )


def _margin_at(selection: Selection, top_k: int) -> float | None:
    if top_k >= len(selection.groups):
        return selection.margin
    last, following = selection.groups[top_k - 1 : top_k + 1]
    return float(selection.scores[last] - selection.scores[following])


def _recall(units: SourceUnits, selection: Selection, expected: Sequence[int]) -> float:
    """Return the share of the expected classes that is chosen; of their images, where other units are chosen."""
    if units.unit == "class":
        return recall_at_k(selection, expected)
    is_expected = np.isin(units.labels, list(expected))
    whole = units.keeping(1.0, units.seed)  # the recall is that of the choice, however much each unit gives
    return float(is_expected[whole.rows(selection.groups)].sum() / is_expected.sum())
