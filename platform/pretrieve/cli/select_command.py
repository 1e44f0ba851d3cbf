"""`pretrieve select`: rank the groups of a source by their similarity to a target."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pretrieve.cli.json_answer import Answer
from pretrieve.cli.study_argument import Overrides, Storage, load_study_argument, written_file
from pretrieve.cli.terminal import make_table
from pretrieve.errors import UserError
from pretrieve.printing import echo, make_console

if TYPE_CHECKING:
    from pretrieve.features.centroid_file import NamedCentroids
    from pretrieve.study.settings import StudySettings
    from pretrieve_selection import Selection, SelectionSettings

ROWS_SHOWN = 20


def select(
    target: Annotated[
        str, typer.Option(help="Target centroids: .npz with `means` (K, D) and perhaps `names`; or see --study.")
    ],
    source: Annotated[
        str | None, typer.Option(help="Source centroids, likewise. With --study it may be left out: the study's own.")
    ] = None,
    study: Annotated[
        Path | None,
        typer.Option(help="A study file: source and target are then names of its image sets, features made if needed."),
    ] = None,
    method: Annotated[
        str, typer.Option(help="A selector, such as uot or greedy_ot, or your own: my_module:MySelector.")
    ] = "uot",
    cost: Annotated[
        str | None, typer.Option(help="cosine or l2. Default: the paper's, l2 for greedy_ot, else cosine.")
    ] = None,
    cost_scale: Annotated[float, typer.Option(help="ε_c: the distance that counts as one unit of cost.")] = 0.01,
    entropy_weight: Annotated[float, typer.Option(help="ε of eq. 5.")] = 1.0,
    source_penalty: Annotated[float, typer.Option(help="τ₁ of eq. 5.")] = 1.0,
    target_penalty: Annotated[float, typer.Option(help="τ₂ of eq. 5.")] = 100.0,
    top: Annotated[int, typer.Option(help="K: how many groups to select.")] = 100,
    seed: Annotated[int, typer.Option(min=0, help="Of the method `random`.")] = 0,
    expected_ids: Annotated[
        str | None,
        typer.Option(help="For the recall: a file (JSON list, or an id a line), imagenet-birds or imagenet-dogs."),
    ] = None,
    files: Annotated[
        Path | None, typer.Option(help="Write the selected classes' files to this list, to fetch them.")
    ] = None,
    index: Annotated[
        Path | None,
        typer.Option(help="The source's files: a path a line, perhaps a tab and its bytes. Without: folders."),
    ] = None,
    overrides: Overrides = None,
    storage: Storage = None,
) -> Answer:
    """Rank the groups of a source by their similarity to a target: centroids in files, or image sets of a study.

    `pretrieve select --source imagenet.npz --target birds.npz --expected-ids imagenet-birds`

    `pretrieve select --study own_target.yaml --target birds --top 20`

    Where the source's pixels are elsewhere, its centroids are enough to know what to fetch:

    `pretrieve select --source imagenet.npz --target birds.npz --files list.txt --index imagenet_files.txt`
    """
    import numpy as np

    from pretrieve.components import SELECTORS
    from pretrieve.data.group_lists import read_group_list
    from pretrieve.features.centroid_file import read_centroid_file
    from pretrieve_selection import SelectionSettings, Selector, recall_at_k

    if study is None:
        if source is None:
            raise UserError("--source must be given: a file of centroids; or --study, whose own source it then is")
        sources, targets = read_centroid_file(Path(source)), read_centroid_file(Path(target))
    else:
        of_study = load_study_argument(study, overrides, storage).settings
        sources, targets = _sides(of_study, source, target)
    paper = SelectionSettings()
    settings = SelectionSettings(
        top_k=top,
        cost=cost or paper.cost,
        greedy_cost=cost or paper.greedy_cost,
        cost_scale=cost_scale,
        entropy_weight=entropy_weight,
        source_penalty=source_penalty,
        target_penalty=target_penalty,
    )
    rng = np.random.default_rng(seed)
    selector: Selector = SELECTORS.build(method, {})
    selection = selector.select(
        sources.means,
        targets.means,
        top_k=top,
        settings=settings,
        rng=rng,
        source_names=sources.names,
        target_names=targets.names,
    )
    expected = None if expected_ids is None else read_group_list(expected_ids, sources.names)
    recall = None if expected is None else recall_at_k(selection, expected)
    _print(selection, settings, sources.names, set(expected or []), recall)
    return {
        **({} if files is None else _write_files(files, [sources.names[group] for group in selection.groups], index)),
        "method": selection.method,
        "groups": list(selection.groups),
        "names": [sources.names[group] for group in selection.groups],
        "scores": [float(selection.scores[group]) for group in selection.groups],
        "margin": selection.margin,
        "converged": selection.converged,
        "iterations": selection.iterations,
        "recall": recall,
    }


def _write_files(path: Path, names: list[str], index: Path | None) -> dict[str, object]:
    from pretrieve.artifacts.atomic_files import replacing
    from pretrieve.data.fetch_list import list_files

    found, out = list_files(names, index), written_file(path)
    with replacing(out) as temporary:
        temporary.write_text("".join(f"{each}\n" for each in found.paths), encoding="utf-8")
    kind = "folders" if index is None else "files"
    size = "" if found.num_bytes is None else f", {found.num_bytes / 1e9:,.3g} GB"
    echo(f"{out}: {len(found.paths):,} {kind} of {len(names):,} classes{size}")
    return {"files": out, f"num_{kind}": len(found.paths), "num_bytes": found.num_bytes}


def _sides(settings: StudySettings, source: str | None, target: str) -> tuple[NamedCentroids, NamedCentroids]:
    from pretrieve.study.views import terminal_view
    from pretrieve.study.walk import study_centroids

    source = source or (settings.source.display_name if settings.source is not None else None)
    if source is None:
        raise UserError(
            f"--source must be a file of centroids, but study {settings.name!r} has no source; leave --study out"
        )
    with terminal_view(settings) as view:
        centroids = study_centroids(settings, [source, target], view)
    return centroids[source], centroids[target]


def _print(
    selection: Selection, settings: SelectionSettings, names: tuple[str, ...], expected: set[int], recall: float | None
) -> None:
    headings = (">rank", ">group", ">score", "name", *(("expected",) if expected else ()))
    title = f"{selection.method}: {len(selection.groups)} of {len(names)} groups"
    table = make_table(headings, title=title, title_justify="left")
    for rank, group in enumerate(selection.groups[:ROWS_SHOWN], start=1):
        row = [str(rank), str(group), f"{selection.scores[group]:.6g}", names[group]]
        table.add_row(*row, *(["✓" if group in expected else ""] if expected else []))
    console = make_console()
    console.print(table)
    lines = [f"… and {len(selection.groups) - ROWS_SHOWN} more"] if len(selection.groups) > ROWS_SHOWN else []
    if selection.margin is not None:
        lines.append(f"margin between rank {len(selection.groups)} and the next: {selection.margin:.6g}")
    if selection.iterations:
        state = "converged" if selection.converged else "NOT converged: its ranking may change"
        lines.append(f"{state} after {selection.iterations} iterations (at most {settings.max_iterations})")
    if recall is not None:
        lines.append(f"recall: {100 * recall:.2f} % of {len(expected)} expected groups")
    for line in lines:
        console.print(line)
