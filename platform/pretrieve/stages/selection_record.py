"""The record of each selection: what was chosen, how surely, and how it compares; as JSON and as a figure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pretrieve.artifacts.atomic_files import replacing, write_json
from pretrieve.data.group_lists import read_group_list
from pretrieve.stages.selection_pictures import read_thumbnails, write_selection_pictures
from pretrieve.stages.source_units import SourceUnits
from pretrieve.stages.study_inputs import StudyInputs
from pretrieve.tracking import schema
from pretrieve_selection import Selection, rank_groups, recall_at_k

if TYPE_CHECKING:
    from pretrieve.study.settings import StudySettings

MAX_LISTED = 1_000
"""Units that a record lists; a selection of many images has its first ones here and all of them in the cache."""

MAX_CLASSES_LISTED = 50


def write_selection_records(settings: StudySettings, inputs: StudyInputs) -> list[tuple[Path, str | None]]:
    """Write the record, the figure and the pictures of every selection into the study's folder.

    Args:
      settings: the study.
      inputs: its units and selections.

    Returns:
      The files, with the artifact folder of each.

    Raises:
      UserError: an expected group is none of the source's.
    """
    artifacts: list[tuple[Path, str | None]] = []
    for (target, method), selection in inputs.selections.items():
        folder = settings.folder / schema.SELECTIONS_FOLDER / target
        expected = settings.selection.expected_groups.get(target)
        others = {
            other: compared
            for (other_target, other), compared in inputs.selections.items()
            if other_target == target and other != method
        }
        record = selection_record(
            inputs.units[target],
            selection,
            target=target,
            method=method,
            others=others,
            expected=None if expected is None else read_group_list(expected, inputs.source.class_names),
            top_ks=settings.grid.top_k or (settings.selection.top_k,),
        )
        paths = [folder / f"{method}.json", folder / f"{method}.svg", folder / f"{method}.jpg"]
        write_selection_pictures(inputs.units[target], selection, paths[2])
        write_json(paths[0], {**record, "thumbnails": read_thumbnails(paths[2])})
        _write_figure(record, paths[1])
        artifacts += [(path, f"{schema.SELECTIONS_FOLDER}/{target}") for path in paths]
    return artifacts


def selection_record(
    units: SourceUnits,
    selection: Selection,
    *,
    target: str,
    method: str,
    others: Mapping[str, Selection],
    expected: Sequence[int] | None,
    top_ks: Sequence[int],
) -> dict[str, Any]:
    """Describe a selection.

    Args:
      units: what it chose from.
      selection: the choice.
      target: name of the target.
      method: name of the method.
      others: the other methods' selections of the same target.
      expected: classes of the source that should be found, or None.
      top_ks: the numbers of units at which trials cut it.

    Returns:
      JSON-able: the first MAX_LISTED units in rank order (`groups`, `names`, their `ranks` among all units from 0,
      `scores`, and for `uot` their `masses` in P·1), `num_selected` and `num_images`, the classes that the chosen
      images are of, `margin`, the `margins` by number of units, `converged`, `iterations`, `overlap` (units shared
      with each other method, and as a fraction of this selection) and `recall`.
    """
    listed = list(selection.groups[:MAX_LISTED])
    scores = [float(selection.scores[group]) for group in listed]
    class_counts = units.class_counts(selection.groups)
    return {
        "target": target,
        "method": method,
        "unit": units.unit,
        "groups": listed,
        "names": [units.name(group) for group in listed],
        "ranks": _ranks(selection, listed),
        "scores": scores,
        "masses": [math.exp(score) for score in scores] if selection.method == "uot" else None,
        "num_selected": len(selection.groups),
        "num_units": len(units),
        "num_images": sum(class_counts.values()),
        "classes": dict(list(class_counts.items())[:MAX_CLASSES_LISTED]),
        "margin": selection.margin,
        "margins": {str(top_k): _margin_at(selection, top_k) for top_k in top_ks},
        "converged": selection.converged,
        "iterations": selection.iterations,
        "overlap": {other: _overlap(selection, compared) for other, compared in others.items()},
        "recall": None if expected is None else _recall(units, selection, expected),
    }


def _ranks(selection: Selection, groups: Sequence[int]) -> list[int]:
    ranking = np.array(rank_groups(selection.scores))
    ranks = np.empty_like(ranking)
    ranks[ranking] = np.arange(len(ranking))
    return [int(rank) for rank in ranks[list(groups)]]


def _margin_at(selection: Selection, top_k: int) -> float | None:
    if top_k >= len(selection.groups):
        return selection.margin
    last, following = selection.groups[top_k - 1 : top_k + 1]
    return float(selection.scores[last] - selection.scores[following])


def _overlap(selection: Selection, other: Selection) -> dict[str, float]:
    shared = len(set(selection.groups) & set(other.groups))
    return {"num_shared": shared, "fraction": shared / len(selection.groups)}


def _recall(units: SourceUnits, selection: Selection, expected: Sequence[int]) -> float:
    """Return the share of the expected classes that is chosen; of their images, where other units are chosen."""
    if units.unit == "class":
        return recall_at_k(selection, expected)
    is_expected = np.isin(units.labels, list(expected))
    whole = units.keeping(1.0, units.seed)  # the recall is that of the choice, however much each unit gives
    return float(is_expected[whole.rows(selection.groups)].sum() / is_expected.sum())


def _write_figure(record: Mapping[str, Any], path: Path) -> None:
    from pretrieve_dashboards import ranked_similarity
    from pretrieve_dashboards.plan import parse_selection

    figure = ranked_similarity(parse_selection(record, str(path.with_suffix(".json"))))
    with replacing(path) as temporary:
        temporary.write_text(figure, encoding="utf-8")
