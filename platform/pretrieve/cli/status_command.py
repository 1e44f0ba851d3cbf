"""`pretrieve status`: what of a study is done, what runs, what failed and why."""

from __future__ import annotations

from pretrieve.cli.study_argument import Overrides, Storage, StudyFile, load_study_argument, make_console


def status(study: StudyFile, overrides: Overrides = None, storage: Storage = None) -> None:
    """Tell what of a study is done, what runs, what failed and why; also while it runs, from any machine.

    `pretrieve status my_study.yaml`
    """
    from pretrieve.study.study_lock import current_driver
    from pretrieve_dashboards import print_status

    loaded = load_study_argument(study, overrides, storage)
    print_status(loaded.record(), make_console(), driver=current_driver(loaded.settings.folder))
