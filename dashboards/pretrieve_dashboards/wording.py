"""Format numbers, times, hyperparameters and addresses for people, in the same way in every view."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from urllib.parse import quote, urlsplit

from pretrieve.components.hyperparameters import BUILT_IN
from pretrieve.records import SelectionRecord, StudyRecord, TargetRecord, TrialRecord
from pretrieve.tracking.address import without_password

ABSENT = "—"
AVERAGE = "average"
"""Name of the column with the means over all targets, in our tables and in the paper's."""
AUDIT_SIDES = {"source": "reused source images", "train": "the target's training images"}
"""What a leakage audit compares with the test images."""

_TABLE = {each.name: each for each in BUILT_IN}


def percent(fraction: float | None) -> str:
    """Write a fraction in % with one decimal.

    >>> percent(0.8125), percent(None)
    ('81.2', '—')
    """
    return ABSENT if fraction is None else f"{100 * fraction:.1f}"


def score(mean: float | None, ci95: float | None, values: Sequence[float] = ()) -> str:
    """Write a mean in %, with the half width of its interval if that is known; else the values that it is the mean of.

    >>> score(0.813, 0.021), score(0.813, None), score(None, None)
    ('81.3 ± 2.1', '81.3', '—')
    >>> score(0.813, None, [0.805, 0.821])
    '80.5, 82.1'
    """
    if mean is None or ci95 is None:
        return ", ".join(map(percent, values)) or percent(mean)
    return f"{percent(mean)} ± {percent(ci95)}"


def number(value: float) -> str:
    """Write the value of a hyperparameter in its shortest readable form.

    >>> number(0.1), number(0.0001), number(10.0), number(0.0), number(1_281_167)
    ('0.1', '1e-4', '10', '0', '1281167')
    """
    if float(value).is_integer():
        return str(int(value))
    is_small = 0 < abs(value) < 0.001
    text = f"{value:.3e}" if is_small else f"{value:g}"
    return re.sub(r"\.?0*e([+-])0?(\d)", r"e\1\2", text)


def metric(target: TargetRecord) -> str:
    """Write the metric of a target in words; by its name where the record has none.

    >>> metric(TargetRecord("birds", "my:TopFive", 3, {}, "top five"))
    'top five'
    """
    return target.metric_label or target.metric


def hyperparameter(name: str, value: float | None) -> str:
    """Write a hyperparameter with its short name.

    >>> hyperparameter("top_k", 100), hyperparameter("momentum", 0.9), hyperparameter("top_k", None)
    ('K 100', 'momentum 0.9', 'K —')
    """
    text = ABSENT if value is None else number(value)
    return _TABLE[name].write(text) if name in _TABLE else f"{name} {text}"


def short_name(name: str) -> str:
    """Return the symbol of a hyperparameter; its name where the table does not have it.

    >>> short_name("source_weight"), short_name("temperature")
    ('λ', 'temperature')
    """
    return _TABLE[name].symbol if name in _TABLE else name


def ordered(names: Iterable[str]) -> list[str]:
    """List the names of hyperparameters once each, in the order in which they are shown.

    >>> ordered(["momentum", "top_k", "lr", "top_k"])
    ['lr', 'top_k', 'momentum']
    """
    known = set(names)
    return [*(name for name in _TABLE if name in known), *sorted(known - set(_TABLE))]


def hyperparameters(values: Mapping[str, float] | None) -> str:
    """Write a configuration in one line.

    >>> hyperparameters({"lr": 0.01, "weight_decay": 1e-4, "source_weight": 0.3, "head_lr_ratio": 10.0})
    'lr 0.01, wd 1e-4, λ 0.3, head ×10'
    >>> hyperparameters({"lr": 0.01, "source_weight": 1.0, "top_k": 100})
    'lr 0.01, λ 1, K 100'
    """
    if values is None:
        return ABSENT
    return ", ".join(hyperparameter(name, values[name]) for name in ordered(values))


def trial(record: TrialRecord) -> str:
    """Name a trial or refit of a cell, as it can be read aloud, and is named in each run of the study."""
    seed = f", seed {record.seed}" if record.kind == "refit" else ""
    return f"{record.kind} of repeat {record.repeat + 1}{seed}: {hyperparameters(record.hyperparameters)}"


def duration(seconds: float) -> str:
    """Write a time in its two largest units.

    >>> duration(0.42), duration(75), duration(7502)
    ('0.4 s', '1 min 15 s', '2 h 05 min')
    """
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest_s = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest_s:02d} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min"


def count(number_of: int, noun: str) -> str:
    """Write a number with its noun, in the plural if it is not 1.

    >>> count(1, "trial"), count(2, "trial")
    ('1 trial', '2 trials')
    """
    return f"{number_of} {noun}" if number_of == 1 else f"{number_of} {noun}s"


def ui_command(tracking_uri: str) -> str:
    """Return the command that shows all runs of a tracking store.

    >>> ui_command("sqlite:////runs/birds/mlflow.db"), ui_command("http://mlflow:5000")
    ('pretrieve ui /runs/birds', 'open http://mlflow:5000')
    """
    database = tracking_uri.removeprefix("sqlite:///")
    if database != tracking_uri and database.endswith("/mlflow.db"):
        return f"pretrieve ui {shlex.quote(database.removesuffix('/mlflow.db'))}"
    return f"open {without_password(tracking_uri)}"


def ui_address(record: StudyRecord) -> str:
    """Return the address of MLflow's UI, without user name and password; empty if the study's store is not a server."""
    parts = urlsplit(record.tracking_uri)
    if parts.scheme not in ("http", "https"):
        return ""
    # The report would publish the password, and browsers warn of such addresses.
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl().rstrip("/")


def run_page(record: StudyRecord, run_id: str | None) -> str:
    """Return the address of a run's page in MLflow's UI; empty if there is no run or no UI, see `ui_address`."""
    ui = ui_address(record)
    return f"{ui}/#/experiments/{record.experiment_id}/runs/{quote(run_id)}" if ui and run_id else ""


def runs_page(record: StudyRecord, tag: str, value: str) -> str:
    """Return the address of the list of runs with this tag value; empty if there is no UI."""
    ui, words = ui_address(record), quote(f"tags.`{tag}` = '{value}'", safe="")
    return f"{ui}/#/experiments/{record.experiment_id}/runs?searchFilter={words}" if ui else ""


def margins(selection: SelectionRecord) -> tuple[str, ...]:
    """Write the margin at the last chosen group, for each number of groups in the grid."""
    if len(selection.margins) < 2:
        return (_margin(selection, selection.margin),)
    texts = {top_k: _margin(selection, margin) for top_k, margin in selection.margins.items()}
    return tuple(f"{hyperparameter('top_k', top_k)}: {text}" for top_k, text in texts.items())


def _margin(selection: SelectionRecord, margin: float | None) -> str:
    if margin is not None:
        return f"{margin:.3g}"
    return "all chosen" if selection.ranks[:1] == (1,) else "none follows"
