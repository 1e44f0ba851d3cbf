"""The names of the MLflow record: kinds of runs, tags and metrics."""

from __future__ import annotations

from pretrieve.metric_names import *  # noqa: F403  # part of the record; lower layers use them too

TAG_KIND = "pretrieve.kind"
TAG_KEY = "pretrieve.key"
TAG_IDENTITY = "pretrieve.identity"
TAG_EXPERIMENT = "pretrieve.experiment"
TAG_OWNER = "pretrieve.owner"
TAG_TARGET = "pretrieve.target"
TAG_METHOD = "pretrieve.method"
TAG_OUTCOME = "pretrieve.outcome"
TAG_MESSAGE = "pretrieve.message"
TAG_FAILURE = "pretrieve.failure"
TAG_INTERRUPTIONS = "pretrieve.interruptions"
TAG_ATTEMPTS = "pretrieve.attempts"
TAG_CURVE = "pretrieve.curve"
MADE_WITH_PREFIX = "pretrieve.made_with."
TAG_PREDICTIONS = "pretrieve.predictions"
TAG_BEST = "pretrieve.best"
TAG_BEST_KEY = "pretrieve.best_key"
TAG_REFIT_KEYS = "pretrieve.refit_keys"
TAG_REFIT_KEYS_WITH_LEAKS = "pretrieve.refit_keys_with_leaks"
TAG_PARENT = "mlflow.parentRunId"
TAG_NOTE = "mlflow.note.content"
TAG_RUNS_VIEW = "mlflow.sharedViewState.study"


def of_repeat(tag: str, repeat: int) -> str:
    """Name the tag of a cell for one of its repeats, which count from 0.

    >>> of_repeat(TAG_BEST, 0), of_repeat(TAG_BEST, 2)
    ('pretrieve.best', 'pretrieve.best.2')
    """
    return f"{tag}.{repeat}" if repeat else tag


KIND_STUDY = "study"
KIND_CELL = "cell"
KIND_TRIAL = "trial"
KIND_REFIT = "refit"

PLAN_ARTIFACT = "plan.json"
SELECTIONS_FOLDER = "selections"
AUDITS_FOLDER = "audits"
REPORT_ARTIFACT = "report.html"
TABLE_ARTIFACT = "table.csv"
VERDICT_ARTIFACT = "verdict.json"
LABEL_CURVES_ARTIFACT = "label_curves.json"
TAG_CONTRASTS = "pretrieve.contrasts"
TAG_LOOKS = "pretrieve.looks"
TAG_ONE_LOOK = "pretrieve.one_look"
TAG_EXTENDED_TO = "pretrieve.extended_to"
TAG_MODELS = "pretrieve.models"
TAG_MODEL_REFITS = "pretrieve.model_refits"
