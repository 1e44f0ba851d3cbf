"""The command line, `pretrieve --help`. Long commands have their own files; commands import late, to start fast."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from pretrieve import __version__
from pretrieve.artifacts.disk_space import is_disk_full
from pretrieve.cli.cache_command import cache
from pretrieve.cli.card_command import card
from pretrieve.cli.cluster_command import cluster
from pretrieve.cli.components_command import components
from pretrieve.cli.experiments_command import experiments, reproduce
from pretrieve.cli.export_command import export
from pretrieve.cli.extend_command import extend
from pretrieve.cli.init_command import init
from pretrieve.cli.json_answer import Answer, answering_json
from pretrieve.cli.merge_command import merge
from pretrieve.cli.plan_command import plan
from pretrieve.cli.predict_command import predict
from pretrieve.cli.recipes_command import recipes
from pretrieve.cli.register_command import register
from pretrieve.cli.select_command import select
from pretrieve.cli.study_argument import Overrides, Storage, StudyFile, load_study_argument
from pretrieve.cli.targets_command import prepare, targets
from pretrieve.cli.terminal import make_table, run_and_print
from pretrieve.cli.validate_command import validate
from pretrieve.errors import PretrieveError, UserError
from pretrieve.guarded_processes import end_guarded
from pretrieve.interruption import Interrupted, ending_on_signals, received
from pretrieve.printing import echo, make_console, print_without_failing

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help="Fine-tune on a small target together with the right part of the pre-training data.\n\n"
    "Start with `pretrieve demo`: the paper's table in miniature, in minutes, with nothing to download. "
    "For your own images, `pretrieve init FOLDER` writes a study file, and `pretrieve run` runs it; running it again "
    "resumes it.",
    epilog="Exit codes: 0, all is done; 1, trials failed, the budget was used up, or a server or disk failed; 2, an "
    "argument, a setting or the data must be corrected; 128 and the number of the signal that ended it, such as 130.",
)


def status(study: StudyFile, overrides: Overrides = None, storage: Storage = None) -> Answer:
    """Show what of a study is done, what runs, what failed and why; also while it runs, from any machine.

    `pretrieve status my_study.yaml`
    """
    from pretrieve.artifacts.locks import current_driver
    from pretrieve.stages.inventory import read_inventory
    from pretrieve_dashboards import print_status

    loaded = load_study_argument(study, overrides, storage, needs_files=False)
    console, record, driver = make_console(), loaded.record(), current_driver(loaded.settings.folder)
    print_status(record, console, driver=driver)
    table, stages = make_table(("stage", "artifacts", "in the store"), box=None), read_inventory(loaded.settings)
    for stage in stages:
        table.add_row(stage.stage, str(stage.num_artifacts), str(stage.num_there))
    if table.row_count:
        console.print(table)
    return {"driver": driver, "stages": [asdict(stage) for stage in stages], "study": record}


def deliver(study: StudyFile, overrides: Overrides = None, storage: Storage = None) -> Answer:
    """Send to MLflow the metrics that wait in the study's folder because its server was away.

    Trains nothing. `pretrieve run` does the same and then goes on with the study.
    """
    from pretrieve.study.walk import deliver_study

    num_trials = deliver_study(load_study_argument(study, overrides, storage, needs_files=False).settings)
    echo("1 trial was delivered" if num_trials == 1 else f"{num_trials} trials were delivered")
    return {"num_trials": num_trials}


def _print_version(is_asked: bool) -> None:
    if is_asked:
        echo(f"pretrieve {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    pass


def demo(overrides: Overrides = None, storage: Storage = None) -> Answer:
    """Run the built-in study: whether reuse helps on rendered characters and real digits, with five labels a class."""
    from pretrieve.demo import STUDY_FILE

    return _run(STUDY_FILE, overrides, storage)


def run(study: StudyFile, overrides: Overrides = None, storage: Storage = None) -> Answer:
    """Run what is missing of a study, then print its table.

    Uses the Ray cluster of RAY_ADDRESS, else this machine. After an interruption the same command goes on.
    """
    return _run(study, overrides, storage)


def features(study: StudyFile, overrides: Overrides = None, storage: Storage = None) -> Answer:
    """Compute the features that a study's selections are made from, and nothing else; `run` uses them."""
    loaded = load_study_argument(study, overrides, storage)
    loaded.extract_features()
    return {"study": loaded.settings.name}


def selections(study: StudyFile, overrides: Overrides = None, storage: Storage = None) -> Answer:
    """Make a study's selections, and the features they need; `run` uses both. Prints the file of each record."""
    paths = load_study_argument(study, overrides, storage).make_selections()
    for path in paths:
        echo(path)
    return {"files": paths}


def refit(study: StudyFile, overrides: Overrides = None, storage: Storage = None) -> Answer:
    """Refit the best configurations known so far, also of an unfinished search, and name what is missing.

    No trial is run. Each refit is tested on the test images: better let the search end first.
    """
    return _run(study, overrides, storage, runs_trials=False)


def report(study: StudyFile, overrides: Overrides = None, storage: Storage = None) -> Answer:
    """Write report.html and table.csv from MLflow's record, finished or not, and print the table.

    They are written into the study's folder, or into the working directory where that cannot be written to.
    """
    from pretrieve_dashboards import print_study, score_table, write_report

    loaded = load_study_argument(study, overrides, storage, needs_files=False)
    record = loaded.record(with_curves=True)
    folder = loaded.settings.folder
    if not os.access(folder, os.W_OK):  # of somebody else, or on another machine
        folder = Path.cwd() / f"{record.name}-report"
    path = None
    with suppress(PermissionError):  # the table is printed in any case
        folder.mkdir(exist_ok=True)
        path = folder / "report.html"
        write_report(record, path)
        (folder / "table.csv").write_text(score_table(record).to_csv(), encoding="utf-8")
    print_study(record, make_console(), report_path=path)
    return record


def ui(
    study: Annotated[
        Path | None, typer.Argument(help="A study file (YAML), or the folder of a study that ran. Default: the demo.")
    ] = None,
    port: Annotated[int, typer.Option(help="Port on loopback.")] = 5000,
    overrides: Overrides = None,
    storage: Storage = None,
) -> None:
    """Open the MLflow UI of a study on loopback; ctrl-c ends it."""
    from pretrieve.cli.ui_server import serve
    from pretrieve.demo import STUDY_FILE
    from pretrieve.tracking.address import sqlite_store

    if study is not None and study.is_dir():
        serve(sqlite_store(study), study.absolute(), port=port)
        return
    settings = load_study_argument(study or STUDY_FILE, overrides, storage, needs_files=False).settings
    serve(settings.tracking(), settings.folder, port=port)


PANELS = {
    "A study, in the order of the work": (demo, init, validate, plan, run, status, report, extend),
    "Data": (card, targets, prepare),
    "Models": (register, predict, export),
    "Single steps of a study": (features, selections, select, refit),
    "What a study can name": (components, recipes),
    "Cluster and storage": (deliver, merge),
    "The paper": (experiments, reproduce),
}
"""The commands, in the order in which `pretrieve --help` shows them."""

for panel, commands in PANELS.items():
    for command in commands:
        app.command(rich_help_panel=panel)(answering_json(command))
app.command(rich_help_panel="A study, in the order of the work")(ui)  # serves until it is ended: no JSON
app.add_typer(cluster, name="cluster", rich_help_panel="Cluster and storage")
app.add_typer(cache, name="cache", rich_help_panel="Cluster and storage")


def _run(file: Path, overrides: list[str] | None, storage: Path | None, *, runs_trials: bool = True) -> Answer:
    study = load_study_argument(file, overrides, storage)
    return run_and_print(study, study.run if runs_trials else study.refit)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; a user's mistake is one message and status 2, failed trials are status 1.

    `arguments` are the words after the program's name; None means those of this process.
    """
    print_without_failing()
    words = sys.argv[1:] if arguments is None else list(arguments)
    try:
        with ending_on_signals(partial(_end_at_once, words)):
            app(words)
    except BaseException as error:
        if (interruption := received()) is not None:
            _end_at_once(words, interruption)
            os._exit(interruption.exit_status)  # threads of other packages may not end for a while
        if not isinstance(error, Exception):
            raise
        from pretrieve.tracking.address import without_password

        exit_status = _exit_status(error)
        if exit_status is None:
            raise
        kind = f"{type(error).__name__}: " if isinstance(error, OSError) else ""
        echo(f"error: {kind}{without_password(str(error))}", err=True)
        sys.exit(exit_status)


def _end_at_once(words: Sequence[str], interruption: Interrupted) -> None:
    """Say how to go on after a signal, and end the processes that were started."""
    from pretrieve.tracking.address import without_password

    command = without_password(shlex.join(["pretrieve", *words]))
    echo(
        f"ended by {interruption}; nothing that was finished is lost, and the same command goes on: {command}", err=True
    )
    end_guarded()


def _exit_status(error: Exception) -> int | None:
    """Return 2 for a user's mistake, 1 for a failed study, None for a bug, whose traceback is shown."""
    from pretrieve_dashboards.errors import DashboardError
    from pretrieve_selection import SelectionInputError

    if isinstance(error, UserError | SelectionInputError | DashboardError):
        return 2
    if isinstance(error, OSError):
        # `[Errno 2] No such file or directory` alone does not say which file: only the traceback helps.
        is_clear = error.filename is not None or error.errno is None or is_disk_full(error)
        return 1 if is_clear else None
    return 1 if isinstance(error, PretrieveError) else None


if __name__ == "__main__":
    main()
