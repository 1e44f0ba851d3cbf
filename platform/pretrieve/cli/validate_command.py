"""`pretrieve validate`: whether a study's settings and networks are right, without running any of it."""

from __future__ import annotations

from pretrieve.cli.json_answer import Answer
from pretrieve.cli.study_argument import Overrides, Storage, StudyFile, load_study_argument
from pretrieve.printing import echo


def validate(study: StudyFile, overrides: Overrides = None, storage: Storage = None) -> Answer:
    """Check the settings of a study, and pass two images of its size through its networks, forward and backward.

    `pretrieve validate my_study.yaml`

    Connects to no cluster and reads no images. `plan` and `run` make the same checks.
    """
    loaded = load_study_argument(study, overrides, storage)
    loaded.validate()
    echo(f"{loaded.settings.name}: settings and networks are right")
    return {"study": loaded.settings.name}
