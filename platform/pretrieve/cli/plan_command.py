"""`pretrieve plan`: what a study will cost, before it runs; after it ran, also what it took."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pretrieve.cli.json_answer import Answer
from pretrieve.cli.study_argument import Overrides, Storage, StudyFile, load_study_argument
from pretrieve.cli.terminal import make_table
from pretrieve.printing import make_console

if TYPE_CHECKING:
    from rich.table import Table

    from pretrieve.records.forecast import Forecast, PowerForecast
    from pretrieve.stages.budget import BudgetSettings
    from pretrieve.study.study import Study


def plan(
    study: StudyFile,
    overrides: Overrides = None,
    storage: Storage = None,
    detect: Annotated[
        float | None,
        typer.Option(metavar="POINTS", help="A true difference of two rows: say how many repeats would find it."),
    ] = None,
) -> Answer:
    """Forecast what is left of a study and what it will cost: trials, wall time, GPU-hours, disk, memory.

    Runs nothing of it: a few steps of training are timed on the cluster of RAY_ADDRESS, else on this machine.
    After the study ran, the same command shows what each stage took beside its forecast. With repeats it also says
    which true difference they see.
    """
    loaded = load_study_argument(study, overrides, storage)
    forecast = loaded.plan(detect=detect)
    _print(loaded, forecast, loaded.settings.folder)
    return forecast


def _print(study: Study, forecast: Forecast, folder: Path) -> None:
    from pretrieve.records.forecast import FORECAST_FILE, Forecast

    console = make_console()
    left = f"{forecast.study}: {forecast.num_missing:,} trials and refits left"
    console.print(left, style="bold")
    console.print(_cells(forecast))
    earlier = Forecast.read(folder) if not forecast.num_missing else None
    shown = earlier or forecast
    took = shown.took(forecast.stage_seconds_before) if earlier else {}
    if shown.stages:
        console.print(_stages(shown, took))
    for line in (*_totals(shown, took, study.settings.budget), *(f"note: {note}" for note in shown.notes)):
        console.print(line)
    for line in _power(forecast.power):
        console.print(line)
    if shown.stages:
        console.print(f"as JSON: {folder / FORECAST_FILE}", soft_wrap=True)


def _power(forecasts: Sequence[PowerForecast]) -> Iterator[str]:
    """Say in points what the repeats can show of each contrast."""
    if forecasts:
        yield f"power 80 %, {forecasts[0].basis}"
    for each in forecasts:
        planned = f"{each.num_repeats} repeats are too few for an interval"
        if each.detectable is not None and each.provable_margin is not None:
            planned = (
                f"{each.num_repeats} repeats see a true difference of {100 * each.detectable:.1f} points, and show "
                f"equivalence within ± {100 * each.provable_margin:.1f} points"
            )
        yield f"{each.contrast}: {planned}"
        within = f"  equivalent within the margin of {100 * each.margin:.1f} points, if there is no difference:"
        yield f"{within} {_repeats(each, each.repeats_to_equivalence)}"
        if each.difference is not None:
            yield f"  a true difference of {100 * each.difference:g} points: {_repeats(each, each.repeats_to_detect)}"


def _repeats(forecast: PowerForecast, num_repeats: int | None) -> str:
    from pretrieve_dashboards.wording import duration

    if num_repeats is None:
        return "no number of repeats shows it, the test images set the limit"
    more = num_repeats - forecast.num_repeats
    if more <= 0:
        return f"{num_repeats} repeats, which are planned"
    wall, trials = (duration(more * each) for each in (forecast.wall_s_a_repeat, forecast.trial_s_a_repeat))
    return f"about {num_repeats:,} repeats; {more:,} more take about {wall} ({trials} of trials and refits)"


def _cells(forecast: Forecast) -> Table:
    from pretrieve_dashboards.wording import duration

    numbers = (">trials", ">done", ">refits", ">done", ">image passes", ">a trial", ">all")
    table = make_table(("target", "method", *numbers), box=None)
    for cell in forecast.cells:
        counts = (cell.num_trials, cell.num_done, cell.num_refits, cell.num_refits_done)
        times = (duration(cell.trial_s), duration(cell.missing_s)) if cell.trial_s else ("", "")
        passes = f"{cell.image_passes:,}" if cell.image_passes else ""
        table.add_row(cell.target, cell.method, *map(str, counts), passes, *times)
    return table


def _stages(forecast: Forecast, took: Mapping[str, float]) -> Table:
    from pretrieve_dashboards.wording import duration

    table = make_table(("stage", ">forecast", *((">took",) if took else ()), ""), box=None)
    stages = {stage.stage: stage for stage in forecast.stages}
    for name in dict.fromkeys([*stages, *took]):
        stage = stages.get(name)
        seconds, work = (stage.seconds, stage.work) if stage else (None, "")
        forecast_time = duration(seconds) if seconds is not None else "unknown" if stage else ""
        past = [duration(took[name]) if name in took else ""] if took else []
        table.add_row(name, forecast_time, *past, work)
    return table


def _totals(forecast: Forecast, took: Mapping[str, float], budget: BudgetSettings) -> Iterator[str]:
    from pretrieve_dashboards.wording import duration

    if not forecast.stages:
        yield "nothing is left to run, and no forecast was made before it ran"
        return
    wall = f"wall time {duration(forecast.wall_s)}"
    if took:
        total_s = sum(took.values())
        wall += f", took {duration(total_s)} ({total_s / forecast.wall_s:.2f} of it)"
    yield (
        f"{wall}, {forecast.num_concurrent} trials at a time with {forecast.cpus_per_trial} CPUs and "
        f"{forecast.gpus_per_trial:g} GPUs each"
    )
    yield (
        f"trial-hours {forecast.trial_hours:.2f}, GPU-hours {forecast.gpu_hours:.2f}, image passes "
        f"{sum(cell.image_passes for cell in forecast.cells):,}"
    )
    yield f"disk {forecast.disk_bytes / 1e9:.2f} GB, memory at most {forecast.peak_bytes / 1e9:.2f} GB"
    yield f"measured in {duration(forecast.measured_s)}"
    limits = {
        "max_gpu_hours": (budget.max_gpu_hours, forecast.gpu_hours),
        "max_wall_hours": (budget.max_wall_hours, forecast.wall_s / 3600),
        "max_disk_gb": (budget.max_disk_gb, forecast.disk_bytes / 1e9),
    }
    for name, (limit, needed) in limits.items():
        if limit is not None:
            used = forecast.used.get(name, 0.0)
            verdict = "is enough" if used + needed <= limit else "will be used up before the end"
            yield f"budget.{name} {limit:g}: {used:.2f} used, {needed:.2f} more are asked for; it {verdict}"
