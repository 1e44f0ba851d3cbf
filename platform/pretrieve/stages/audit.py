"""Stage: which images to reuse, or to train on, show a test image of their target; recorded, and left out if asked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from pretrieve.artifacts.atomic_files import write_json
from pretrieve.artifacts.keys import changed_fields, content_key
from pretrieve.artifacts.sealed_files import is_kept, read_sealed_json, write_sealed_json
from pretrieve.audit.contact_sheet import MAX_PAIRS, PairCard, write_contact_sheets
from pretrieve.audit.leaks import LeakReport
from pretrieve.audit.settings import AuditSettings
from pretrieve.audit.sharded_audit import audit_over_ray
from pretrieve.data.decode import decode_square, read_content
from pretrieve.data.image_set import ImageSet
from pretrieve.data.image_table import concatenate
from pretrieve.errors import UserError
from pretrieve.records import AuditRecord, LeakPair, LeakRecord
from pretrieve.records.codec import from_json, to_json
from pretrieve.records.forecast import StageForecast
from pretrieve.stages._base import Stage
from pretrieve.stages.calibration import Calibration
from pretrieve.stages.context import Context
from pretrieve.stages.image_sets import ImageSetsStage
from pretrieve.stages.selection import SelectionStage, SourceChoice

AUDITS = "audits"

AUDIT_VERSION = 1
"""Raise it when the same images give other pairs."""

SHEET_IMAGE_SIZE = 128


@dataclass(frozen=True)
class AuditRequest:
    """One comparison that a study needs.

    Attributes:
      side: what is compared with the target's test images: `source`, the images that some method reuses, or `train`,
        its own.
      images: of that side, with the rows of the set they come from as `index`.
      fingerprint: of the set they come from.
    """

    target: ImageSet
    side: Literal["source", "train"]
    images: pa.Table
    fingerprint: str

    @property
    def key(self) -> str:
        """Hash of everything that decides the pairs."""
        return content_key(
            kind="audit",
            version=AUDIT_VERSION,
            images=self.fingerprint,
            rows=content_key(rows=self.images["index"].to_pylist()),
            test=self.target.fingerprints["test"],
            settings=changed_fields(AuditSettings()),
        )


class AuditStage(Stage[SourceChoice]):
    """Gives what a study reuses: with `drop_leaks` without the source images that show a test image."""

    name = "audit"
    place = 60

    def load(self, context: Context) -> SourceChoice | None:
        """Read the pairs found before; write them, and pictures of the first, into the study's folder.

        Raises:
          UserError: with `drop_leaks` nothing is left of a selection.
        """
        choice, settings = context.get(SelectionStage), context.settings.audit
        if not settings.enabled:
            return choice
        requests = _requests(context)
        if not all(is_kept(_path(context, request)) for request in requests):
            return None
        units = dict(choice.units)
        for request in requests:
            kept = _read(request, _path(context, request))
            _record(request, kept, context.own_folder(AUDITS))
            drops = request.side == "source" and settings.drop_leaks
            if kept.pairs:
                what = "of the source" if request.side == "source" else "to train on"
                num_test, fate = request.target.num_images("test"), " and are left out" if drops else ""
                context.clock.notice(
                    f"{kept.num_leaking} images {what} show {kept.num_shown} of the {num_test} test images of "
                    f"{kept.target!r}{fate}; their pairs and pictures are in {context.own_folder(AUDITS)}"
                )
            if drops:
                leaks = [pair.source_index for pair in kept.pairs]
                units[kept.target] = units[kept.target].without(leaks)
        for (target, method), selection in choice.selections.items():
            if not units[target].rows(selection.groups).size:
                raise UserError(
                    f"a selection must keep an image that shows no test image of {target!r}, but all that {method!r} "
                    "selects do; select more, or set audit.drop_leaks to false"
                )
        cut = {target: whole for target, whole in choice.units.items() if units[target].dropped != whole.dropped}
        # The whole units stay beside them, for what the leaks are worth.
        return replace(choice, units=units, units_with_leaks=cut)

    def make(self, context: Context) -> None:
        """Compare the images over the cluster."""
        requests = _requests(context)
        missing = [request for request in requests if not is_kept(_path(context, request))]
        with context.clock.stage(self.name, total=len(requests), done=len(requests) - len(missing)) as progressed:
            context.cluster.connect()
            for number, request in enumerate(missing):
                described = partial(_progressed, partial(progressed, number, len(missing)), request)
                report = audit_over_ray(
                    request.images, request.target.splits["test"], settings=AuditSettings(), on_progress=described
                )
                _keep(request, report, _path(context, request))
                progressed(number + 1, len(missing))

    def num_pieces(self, context: Context) -> int:
        return len(_requests(context)) if context.settings.audit.enabled else 0

    def artifacts(self, context: Context) -> list[Path]:
        return [_path(context, each) for each in _requests(context)] if context.settings.audit.enabled else []

    def estimate(self, context: Context, measured: Calibration) -> StageForecast | None:
        """Name the work; its time is not known beforehand."""
        if not context.settings.audit.enabled or context.find(AuditStage) is not None:
            return None
        return StageForecast(self.name, None, "every source image that is reused against the test images")


def _progressed(reported: Callable[[str], None], request: AuditRequest, done: int, total: int) -> None:
    reported(f"{request.target.name}, {request.side}: {done} of {total} images")


def _path(context: Context, request: AuditRequest) -> Path:
    return context.store.path(AUDITS, f"{request.key}.json")


def _requests(context: Context) -> list[AuditRequest]:
    sets, choice = context.get(ImageSetsStage), context.get(SelectionStage)
    source, requests = sets.source, []
    for name, target in sets.targets.items():
        labelled = [split for split in ("train", "val") if split in target.splits]
        own = concatenate([target.splits[split] for split in labelled])
        own_fingerprint = "+".join(target.fingerprints[split] for split in labelled)
        if context.fold is None:  # the training images of a fold are among those of its repeat
            requests.append(AuditRequest(target, "train", own, own_fingerprint))
        reused = [choice.units[name].rows(each.groups) for (of, _), each in choice.selections.items() if of == name]
        if any(rows.size for rows in reused):
            images = source.splits["train"].take(np.unique(np.concatenate(reused)))
            requests.append(AuditRequest(target, "source", images, source.fingerprints["train"]))
    return requests


def _keep(request: AuditRequest, report: LeakReport, path: Path) -> None:
    pairs = []
    for pair in report.pairs:
        source, test = _rows_of(request, pair)
        pairs.append(LeakRecord(**asdict(pair), source_path=str(source["path"]), test_path=str(test["path"])))
    summary = tuple(report.summary())
    kept = AuditRecord(request.target.name, request.side, tuple(pairs), report.num_compared, summary)
    write_sealed_json(path, to_json(kept))


def _read(request: AuditRequest, path: Path) -> AuditRecord:
    """Read what `_keep` wrote, perhaps for a target of the same images under another name."""
    kept = from_json(AuditRecord, read_sealed_json(path), str(path))
    return replace(kept, target=request.target.name, side=request.side)


def _rows_of(request: AuditRequest, pair: LeakPair) -> list[dict[str, Any]]:
    """Return the rows of both images of a pair, the test image's last."""
    rows = []
    for table, index in ((request.images, pair.source_index), (request.target.splits["test"], pair.test_index)):
        position = int(np.searchsorted(table["index"].to_numpy(), index))  # indices ascend in every image table
        rows += table.slice(position, 1).to_pylist()
    return rows


def _record(request: AuditRequest, kept: AuditRecord, folder: Path) -> None:
    """Write the pairs, and pictures of the first of them, into the study's folder."""
    sheets = folder / f"{kept.target}-{kept.side}"
    write_json(folder / f"{sheets.name}.json", to_json(kept))
    pairs = sorted(kept.pairs, key=lambda pair: -pair.likeness)[:MAX_PAIRS]
    if pairs and not sheets.exists():
        write_contact_sheets([_picture(request, pair) for pair in pairs], sheets)


def _picture(request: AuditRequest, pair: LeakRecord) -> PairCard:
    sides = _rows_of(request, pair)
    left, right = (decode_square(read_content(row["path"], row["content"]), SHEET_IMAGE_SIZE) for row in sides)
    lines = (*(Path(row["path"]).name for row in sides), f"{pair.kind}, likeness {pair.likeness:.3f}")
    return PairCard(left, right, lines)
