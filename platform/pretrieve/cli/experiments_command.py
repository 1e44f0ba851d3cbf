"""`pretrieve experiments` lists the paper's tables and figures that can be run; `pretrieve reproduce` runs one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pretrieve.cli.json_answer import Answer
from pretrieve.cli.study_argument import Storage
from pretrieve.cli.terminal import make_table
from pretrieve.errors import TrialsFailedError, UserError
from pretrieve.printing import echo, make_console

if TYPE_CHECKING:
    from pretrieve.execution.measuring.speed import SpeedBook
    from pretrieve.paper.experiment import Series

SELECTING_STAGES = ("backbone", "features", "clusters", "selection")
SHARED_STAGES = (*SELECTING_STAGES, "audit", "image cache", "relationships")


COLUMNS = ("name", "place", "question", "files", "num_studies", "num_trials", "num_refits", "wall_time", "gpu_hours")
"""Of an experiment in the answer as JSON; the last two only with `--cost`."""


def experiments(
    mini: Annotated[bool, typer.Option("--mini", help="Of the miniatures, not of the paper's size.")] = False,
    cost: Annotated[
        bool, typer.Option("--cost", help="Also the forecast of each; needs the data, and takes minutes.")
    ] = False,
    storage: Storage = None,
) -> Answer:
    """List the experiments of the paper: what each asks, its study files, and how many trials and refits it plans.

    With `--cost` also the wall time and the GPU-hours of what is left of each, on the cluster at hand.

    `pretrieve reproduce NAME` runs one, `pretrieve reproduce NAME --mini` its miniature.
    """
    from pretrieve.paper.catalogue import EXPERIMENTS, studies_folder

    numbers = (">studies", ">trials", ">refits", *((">wall time", ">GPU-hours") if cost else ()))
    table = make_table(("name", "place", "question", "study files", *numbers), show_edge=False, pad_edge=False)
    costs = _costs(mini, storage) if cost else {}
    found: list[dict[str, object]] = []
    for experiment in EXPERIMENTS.values():
        series = experiment.series(is_mini=mini)
        files = "\n".join(dict.fromkeys(point.file for point in series.points))
        try:
            counts = (len(series.studies), *count_trials(series))
        except UserError:  # a study file is missing or broken; the other rows are right
            counts = (len(series.studies), 0, 0)
        words = (experiment.name, experiment.place, experiment.question, files)
        found.append(dict(zip(COLUMNS, (*words, *counts, *costs.get(experiment.name, ())), strict=False)))
        table.add_row(*words, *(str(n or "–") for n in counts), *costs.get(experiment.name, ()))
    console = make_console()
    console.print(table)
    console.print(f"study files are in {studies_folder()}", soft_wrap=True)
    return {"experiments": found, "folder": studies_folder()}


def reproduce(
    name: Annotated[str, typer.Argument(help="Which one: a name that `pretrieve experiments` lists.")],
    mini: Annotated[
        bool, typer.Option("--mini", help="In miniature, on images that come along: minutes on two cores.")
    ] = False,
    storage: Annotated[
        Path | None,
        typer.Option(
            help="Folder of studies, caches and reports. Default: what the study files say; with --mini "
            "`pretrieve-runs/mini` here."
        ),
    ] = None,
    class_means: Annotated[
        Path | None,
        typer.Option(
            "--class-means",
            help="Folder of centroids in files (<network>/<set>.npz with `means`), in place of features: the "
            "experiments that look at selections then need no data and train nothing.",
        ),
    ] = None,
) -> Answer:
    """Run a table or figure of the paper, print it with the published numbers, and write its report.

    The report is NAME/report.html in the storage, written again after each study of the series.
    After an interruption the same command goes on; if all results exist, it computes nothing.

    `pretrieve reproduce table1a --mini`
    """
    from pretrieve.paper.catalogue import find_experiment
    from pretrieve.paper.run_experiment import reproduce as reproduce_experiment
    from pretrieve_dashboards.paper_report import print_experiment

    console = make_console()
    made = reproduce_experiment(
        find_experiment(name),
        is_mini=mini,
        storage=storage,
        class_means=class_means,
        on_point=lambda label, number, total: console.print(f"{name} {number} of {total}: {label}"),
    )
    print_experiment(made.view, console, report_path=made.report_path)
    if made.failures:
        raise TrialsFailedError("; ".join(made.failures))
    return {"experiment": name, "report": made.report_path}


def _costs(is_mini: bool, storage: Path | None) -> dict[str, tuple[str, str]]:
    """Forecast the studies of each experiment on one cluster; an experiment whose data are missing has "–"."""
    from pretrieve.cluster import connected
    from pretrieve.execution.measuring.speed import SpeedBook
    from pretrieve.paper.catalogue import EXPERIMENTS
    from pretrieve.paper.run_experiment import MINI_STORAGE
    from pretrieve_dashboards.wording import duration

    found: dict[str, tuple[str, str]] = {}
    book = SpeedBook()
    if is_mini and storage is None:
        storage = MINI_STORAGE
    with connected():
        for experiment in EXPERIMENTS.values():
            echo(f"forecasting {experiment.name} …", err=True)
            try:
                wall_s, gpu_hours = _cost_of_series(experiment.series(is_mini=is_mini), storage, book)
            except UserError as error:
                echo(f"{experiment.name}: {error}", err=True)
                found[experiment.name] = ("–", "–")
            else:
                found[experiment.name] = duration(wall_s), f"{gpu_hours:.2f}"
    return found


def count_trials(series: Series) -> tuple[int, int]:
    """Count the trials and the refits that a series plans, whether the data exist or not.

    What two points share is counted in each, although it runs once. A UserError is raised if a file is missing or no
    YAML.
    """
    from pretrieve.components.hyperparameters import HEAD_LR_RATIO
    from pretrieve.methods import Method
    from pretrieve.paper.catalogue import studies_folder
    from pretrieve.search.grid import GridSettings
    from pretrieve.study.study_file import read_study_fields

    num_trials, num_refits = 0, 0
    for point in series.studies:
        fields = read_study_fields(studies_folder() / point.file, overrides=point.overrides)
        grid = GridSettings.model_validate(fields.get("grid", {}))
        methods, num_targets = [Method.model_validate(row) for row in fields["methods"]], len(fields["targets"])
        names = [method.name for method in methods]
        settled = grid.with_head_lr_ratio(grid.of(HEAD_LR_RATIO)[0]) if grid.settles_head_lr_ratio(names) else grid
        for method in methods:
            num_trials += num_targets * len((grid if method.name == "finetune" else settled).points(method))
        num_refits += num_targets * len(methods) * fields.get("refit", {}).get("num_seeds", 2)
    return num_trials, num_refits


def _cost_of_series(series: Series, storage: Path | None, book: SpeedBook) -> tuple[float, float]:
    """Forecast what is left of a series: the time of its studies in s, one after the other, and the GPU-hours.

    A study that several points share counts once. So do the stages before the trials that studies with the same source
    and network share. For a selection without training, only the stages up to the selection count. A UserError is
    raised if a study file does not fit the data or the cluster.
    """
    from pretrieve.paper.catalogue import load_point
    from pretrieve.paper.experiment import StudyPoint
    from pretrieve.stages.observer import StudyObserver
    from pretrieve.study.forecast_study import forecast_study

    shared: dict[tuple[str, str], float] = {}
    own: dict[str, tuple[float, float]] = {}
    for point in series.points:
        settings = load_point(point, storage).settings
        key = settings.model_dump_json()
        is_trained = isinstance(point, StudyPoint)
        if key in own and (own[key] != (0.0, 0.0) or not is_trained):
            continue
        forecast = forecast_study(settings, StudyObserver(), book)
        basis = settings.model_dump_json(include={"source", "backbone"})
        needed = SHARED_STAGES if is_trained else SELECTING_STAGES
        for stage in forecast.stages:
            if stage.stage in needed:
                shared[basis, stage.stage] = max(shared.get((basis, stage.stage), 0.0), stage.seconds or 0.0)
        rest_s = sum(stage.seconds or 0.0 for stage in forecast.stages if stage.stage not in SHARED_STAGES)
        own[key] = (rest_s, forecast.gpu_hours) if is_trained else (0.0, 0.0)
    wall_s = sum(shared.values()) + sum(rest_s for rest_s, _ in own.values())
    return wall_s, sum(gpu_hours for _, gpu_hours in own.values())
