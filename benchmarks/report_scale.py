"""What the report of a large study costs: reading it from MLflow and writing the page.

    python benchmarks/report_scale.py --trials 4000

Writes a study of made-up scores to a new SQLite store (kept with `--store FOLDER` and found there again): the study and
its cells through MLflow's own client, the trials as rows of the database, since the client would take many minutes for
them. Then builds its report in a process of its own. Prints that process's seconds, from its start to its end, its peak
memory and the size of the page. Goals: 20 s, 1 GB, 5 MB.
"""

from __future__ import annotations

import argparse
import base64
import io
import json
import random
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Metric
from PIL import Image

from pretrieve.records import PlannedCell, PlanRecord, SelectionRecord, TargetRecord
from pretrieve.records.codec import to_json
from pretrieve.stages.selection_pictures import NUM_THUMBNAIL_IMAGES, THUMBNAIL_SIDE
from pretrieve.tracking import schema
from pretrieve.tracking.spool import SpooledEpoch
from pretrieve.tracking.trial_state import curve_as_text

STUDY = "large"
METHODS = ("finetune", "co_tuning", "random", "greedy_ot", "uot")
NUM_TARGETS, NUM_GROUPS, TOP_K, NUM_REFITS, NUM_THUMBNAILS = 8, 1000, 100, 2, 12
START_MS, TRIAL_MS, NUM_WORKERS = 1_700_000_000_000, 600_000, 16

BUILD = """
import sys, time
from pathlib import Path
begun = time.perf_counter()
from pretrieve_dashboards import load_study, write_report
record = load_study(sys.argv[1], sys.argv[2], with_curves=True)
loaded = time.perf_counter()
write_report(record, Path(sys.argv[3]))
written = time.perf_counter()
num_trials = sum(len(cell.trials) for cell in record.cells)
num_curves = sum(bool(trial.curve) for cell in record.cells for trial in cell.trials)
# Not getrusage's: that begins with the peak of the process that started this one.
peak_mb = next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM")) / 1024
print(num_trials, num_curves, loaded - begun, written - loaded, peak_mb)
"""


@dataclass(frozen=True)
class MadeRun:
    """A trial or refit to be written."""

    kind: str
    key: str
    target: str
    method: str
    point: dict[str, float]
    number: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=4000)
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--store", type=Path, help="folder to keep the store in, or where an earlier run left it")
    parser.add_argument("--turns", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.store or Path(temporary)
        uri = f"sqlite:///{folder.absolute() / 'mlflow.db'}"
        if not (folder / "written").exists():
            folder.mkdir(parents=True, exist_ok=True)
            begun = time.perf_counter()
            write_study(uri, folder, arguments.trials, arguments.epochs)
            (folder / "written").touch()
            print(f"store written in {time.perf_counter() - begun:.0f} s", flush=True)
        for turn in range(arguments.turns):
            print(f"turn {turn}: {built(uri, folder / 'report.html')}", flush=True)


def built(uri: str, page: Path) -> str:
    begun = time.perf_counter()
    words = [sys.executable, "-c", BUILD, uri, STUDY, str(page)]
    told = subprocess.run(words, check=True, capture_output=True, text=True).stdout.split()
    seconds = time.perf_counter() - begun
    num_trials, num_curves, loaded_s, written_s, peak_mb = map(float, told)
    return (
        f"{num_trials:.0f} trials, {num_curves:.0f} curves: {seconds:.1f} s in all (goal <= 20), of which reading "
        f"{loaded_s:.1f} s and writing {written_s:.1f} s; peak {peak_mb:.0f} MB (goal <= 1000); page "
        f"{page.stat().st_size / 1e6:.2f} MB (goal < 5)"
    )


def write_study(uri: str, folder: Path, num_trials: int, num_epochs: int) -> None:
    rng = random.Random(0)
    client = MlflowClient(tracking_uri=uri)
    experiment = client.create_experiment(STUDY, artifact_location=(folder / "artifacts").absolute().as_uri())
    study = client.create_run(experiment, run_name=STUDY, tags={schema.TAG_KIND: schema.KIND_STUDY}).info.run_id
    targets = [f"target_{number}" for number in range(NUM_TARGETS)]
    grid = list(points(num_trials // (NUM_TARGETS * len(METHODS))))
    cells = [
        {"target": target, "method": method, "trial_keys": [f"{target}-{method}-{n}" for n in range(len(grid))]}
        for target in targets
        for method in METHODS
    ]
    client.log_dict(study, to_json(plan(targets, cells)), schema.PLAN_ARTIFACT)
    for target, method in product(targets, METHODS[2:]):
        path = f"{schema.SELECTIONS_FOLDER}/{target}/{method}.json"
        client.log_dict(study, to_json(selection(target, method, rng)), path)
    template = client.create_run(experiment, tags={schema.TAG_KIND: "template"}).info.run_id
    cell_runs = [write_cell(client, experiment, study, cell, grid) for cell in cells]
    client.set_terminated(study)
    with sqlite3.connect(folder / "mlflow.db") as database:
        database.row_factory = sqlite3.Row
        run = dict(database.execute("SELECT * FROM runs WHERE run_uuid = ?", [template]).fetchone())
        for number, (cell, cell_run) in enumerate(zip(cells, cell_runs, strict=True)):
            for made in runs_of(cell, grid, number):
                copy_run(database, run, cell_run, made, num_epochs, rng)


def points(count: int) -> Iterator[dict[str, float]]:
    for number in range(count):
        yield {
            "lr": (0.1, 0.03, 0.01, 0.003, 0.001)[number % 5],
            "weight_decay": (1e-3, 1e-4, 1e-5, 0.0)[number // 5 % 4],
            "source_weight": 1.0 / (1 + number // 20),
            "head_lr_ratio": 10.0,
        }


def plan(targets: list[str], cells: list[dict[str, Any]]) -> PlanRecord:
    sizes = {"train": 5_000, "val": 1_000, "test": 5_000}
    return PlanRecord(
        backbone="resnet18",
        settings={"training": {"epochs": 100}, "refit": {"num_seeds": NUM_REFITS}},
        methods=tuple(METHODS),
        targets=tuple(TargetRecord(name, "top1", 100, sizes) for name in targets),
        cells=tuple(
            PlannedCell(cell["target"], cell["method"], tuple(cell["trial_keys"]), len(cell["trial_keys"]))
            for cell in cells
        ),
    )


def selection(target: str, method: str, rng: random.Random) -> SelectionRecord:
    groups = rng.sample(range(NUM_GROUPS), TOP_K)
    return SelectionRecord(
        target=target,
        method=method,
        unit="class",
        groups=tuple(groups),
        names=tuple(f"n{group:08d} group {group}" for group in groups),
        scores=tuple(1 - place / TOP_K for place in range(TOP_K)),
        masses=None,
        ranks=tuple(range(1, TOP_K + 1)),
        num_selected=TOP_K,
        num_units=NUM_GROUPS,
        num_images=100 * TOP_K,
        classes={},
        margin=0.01,
        margins={},
        converged=True,
        iterations=12,
        num_shared={},
        recall=None,
        thumbnails=tuple(thumbnail(rng) for _ in range(NUM_THUMBNAILS)),
    )


def thumbnail(rng: random.Random) -> str:
    """Draw shapes of the size that a study's thumbnails have, which compress as photographs do."""
    small = Image.frombytes("RGB", (12, 4), rng.randbytes(12 * 4 * 3))
    content = io.BytesIO()
    size = (NUM_THUMBNAIL_IMAGES * THUMBNAIL_SIDE, THUMBNAIL_SIDE)
    small.resize(size, Image.Resampling.BICUBIC).save(content, "JPEG", quality=70, optimize=True)
    return base64.b64encode(content.getvalue()).decode("ascii")


def write_cell(
    client: MlflowClient, experiment: str, study: str, cell: dict[str, Any], grid: list[dict[str, float]]
) -> str:
    summary = {
        schema.TAG_BEST: json.dumps(grid[0]),
        schema.TAG_BEST_KEY: cell["trial_keys"][0],
        schema.TAG_REFIT_KEYS: json.dumps(refit_keys(cell)),
    }
    named = {schema.TAG_TARGET: cell["target"], schema.TAG_METHOD: cell["method"]}
    tags = {schema.TAG_KIND: schema.KIND_CELL, schema.TAG_PARENT: study, **named, **summary}
    run_id = str(client.create_run(experiment, run_name=f"{cell['target']} · {cell['method']}", tags=tags).info.run_id)
    scores = {schema.BEST_VAL_SCORE: 0.9, schema.TEST_MEAN: 0.85, schema.TEST_CI95: 0.01}
    client.log_batch(run_id, metrics=[Metric(name, value, START_MS, 0) for name, value in scores.items()])
    return run_id


def refit_keys(cell: dict[str, Any]) -> list[str]:
    return [f"{cell['target']}-{cell['method']}-refit-{seed}" for seed in range(NUM_REFITS)]


def runs_of(cell: dict[str, Any], grid: list[dict[str, float]], number: int) -> Iterator[MadeRun]:
    first = number * (len(grid) + NUM_REFITS)
    for place, (key, point) in enumerate(zip(cell["trial_keys"], grid, strict=True)):
        yield MadeRun(schema.KIND_TRIAL, key, cell["target"], cell["method"], point, first + place)
    for place, key in enumerate(refit_keys(cell)):
        yield MadeRun(schema.KIND_REFIT, key, cell["target"], cell["method"], grid[0], first + len(grid) + place)


def copy_run(
    database: sqlite3.Connection,
    template: dict[str, Any],
    cell_run: str,
    made: MadeRun,
    num_epochs: int,
    rng: random.Random,
) -> None:
    """Write one run: of a hundred trials five diverge half way, and one fails with a traceback."""
    outcome = {0: "failed", 1: "diverged", 21: "diverged", 41: "diverged", 61: "diverged", 81: "diverged"}.get(
        made.number % 100, "finished"
    )
    run_id, start_ms = f"{made.number:032x}", START_MS + made.number // NUM_WORKERS * TRIAL_MS
    status = "FAILED" if outcome == "failed" else "FINISHED"
    times = {"start_time": start_ms, "end_time": start_ms + TRIAL_MS - 1_000}
    insert(database, "runs", [{**template, "run_uuid": run_id, "name": made.key, "status": status, **times}])
    last = num_epochs if outcome == "finished" else num_epochs // 2
    best = 0.5 + 0.4 * rng.random()
    epochs = [
        SpooledEpoch(epoch, start_ms + epoch * 1_000, {schema.VAL_SCORE: best * epoch / num_epochs})
        for epoch in range(1, last + 1)
        if made.kind == schema.KIND_TRIAL
    ]
    worker = f"node-{made.number % NUM_WORKERS // 4} · GPU {made.number % 4}"
    tags = {
        schema.TAG_KIND: made.kind,
        schema.TAG_KEY: made.key,
        schema.TAG_TARGET: made.target,
        schema.TAG_METHOD: made.method,
        schema.TAG_PARENT: cell_run,
        schema.TAG_OUTCOME: outcome,
        schema.TAG_ATTEMPTS: json.dumps([[worker, *times.values()]]),
        schema.TAG_CURVE: curve_as_text(epochs),
        schema.TAG_MESSAGE: "" if outcome == "finished" else "Traceback\n" + "  a line of it\n" * 100,
    }
    params = {**{f"setting.{number}": number for number in range(35)}, **made.point, "seed": made.number}
    for table, told in (("tags", tags), ("params", params)):
        insert(database, table, [{"run_uuid": run_id, "key": key, "value": str(told[key])} for key in told])
    metrics = [
        measured(run_id, name, value, start_ms + epoch * 1_000, epoch)
        for epoch in range(1, last + 1)
        for name, value in (
            (schema.VAL_SCORE, best * epoch / num_epochs),
            (schema.LOSS_TARGET, 1 / epoch),
            (schema.LOSS_SOURCE, 2 / epoch),
            (schema.IMAGES_PER_S, 500.0),
        )
    ]
    metrics += [measured(run_id, schema.SECONDS, TRIAL_MS / 1000, start_ms, last)]
    if made.kind == schema.KIND_REFIT:
        metrics += [measured(run_id, schema.TEST_SCORE, best, start_ms, last)]
    insert(database, "metrics", metrics)
    insert(database, "latest_metrics", list({metric["key"]: metric for metric in metrics}.values()))


def measured(run_id: str, key: str, value: float, time_ms: int, step: int) -> dict[str, Any]:
    return {"run_uuid": run_id, "key": key, "value": value, "timestamp": time_ms, "step": step, "is_nan": False}


def insert(database: sqlite3.Connection, table: str, rows: list[dict[str, Any]]) -> None:
    names = list(rows[0])
    places = ", ".join("?" * len(names))
    database.executemany(
        f"INSERT INTO {table} ({', '.join(names)}) VALUES ({places})", [list(row.values()) for row in rows]
    )


if __name__ == "__main__":
    main()
