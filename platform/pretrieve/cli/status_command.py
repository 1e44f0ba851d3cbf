"""`pretrieve status`: what of a study is done, what runs, what failed and why."""

from __future__ import annotations

from pretrieve.cli.study_argument import Overrides, Storage, StudyFile, load_study_argument, make_console


def status(study: StudyFile, overrides: Overrides = None, storage: Storage = None) -> None:
    """Tell what of a study is done, what runs, what failed and why; also while it runs, from any machine.

    `pretrieve status my_study.yaml`
    """
    from rich.table import Table

    from pretrieve.artifacts.study_lock import current_driver
    from pretrieve.stages.inventory import read_inventory
    from pretrieve_dashboards import print_status

    loaded = load_study_argument(study, overrides, storage)
    console = make_console()
    print_status(loaded.record(), console, driver=current_driver(loaded.settings.folder))
    table = Table("stage", "artifacts", "in the store", box=None)
    for stage in read_inventory(loaded.settings):
        table.add_row(stage.stage, str(stage.num_artifacts), str(stage.num_there))
    if table.row_count:
        console.print(table)
