"""Stage: which images to reuse, or to train on, show a test image of their target; recorded, and left out if asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pretrieve.artifacts.atomic_files import write_json
from pretrieve.artifacts.keys import changed_fields, content_key
from pretrieve.artifacts.seals import read_sealed_json, write_sealed_json
from pretrieve.artifacts.store import is_kept
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
from pretrieve.stages.context import Context
from pretrieve.stages.image_sets import ImageSetsStage
from pretrieve.stages.selection import SelectionStage, SourceChoice
from pretrieve.stages.stage_clock import StageClock

if TYPE_CHECKING:
    from pretrieve.stages.calibration import Calibration

AUDITS = "audits"

AUDIT_VERSION = 1
"""Raise it when the same images give other pairs."""

SHEET_IMAGE_SIZE = 128


@dataclass(frozen=True)
class AuditRequest:
    """One comparison that a study needs.

    Attributes:
      target: name of the target.
      side: what is compared with its test images: `source`, the images that some method reuses, or `train`, its own.
      images: of that side, with the rows of the set they come from as `index`.
      fingerprint: of the set they come from.
      test: the target's test split.
      test_fingerprint: of it.
      settings: of the comparison.
    """

    target: str
    side: Literal["source", "train"]
    images: pa.Table
    fingerprint: str
    test: pa.Table
    test_fingerprint: str
    settings: AuditSettings

    @property
    def key(self) -> str:
        """Hash of everything that decides the pairs."""
        return content_key(
            kind="audit",
            version=AUDIT_VERSION,
            images=self.fingerprint,
            rows=content_key(rows=self.images["index"].to_pylist()),
            test=self.test_fingerprint,
            settings=changed_fields(self.settings),
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
            _record(request, kept, context.settings.folder / AUDITS)
            _notice(request, kept, settings.drop_leaks, context.clock)
            if request.side == "source" and settings.drop_leaks:
                leaks = [pair.source_index for pair in kept.pairs]
                units[request.target] = units[request.target].without(leaks)
        _check_something_is_left(choice, units)
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
                report = audit_over_ray(
                    request.images,
                    request.test,
                    settings=request.settings,
                    on_progress=_described(request, partial(progressed, number, len(missing))),
                )
                _keep(request, report, _path(context, request))
                progressed(number + 1, len(missing))

    def num_pieces(self, context: Context) -> int:
        """Count the comparisons; none where the study has no audit."""
        return len(_requests(context)) if context.settings.audit.enabled else 0

    def artifacts(self, context: Context) -> list[Path]:
        """List the files of the comparisons."""
        return [_path(context, each) for each in _requests(context)] if context.settings.audit.enabled else []

    def estimate(self, context: Context, measured: Calibration) -> StageForecast | None:
        """Name the work; its time is not known beforehand."""
        if not context.settings.audit.enabled or context.find(AuditStage) is not None:
            return None
        return StageForecast(self.name, None, "every source image that is reused against the test images")


def _described(request: AuditRequest, reported: Callable[[str], None]) -> Callable[[int, int], None]:
    return lambda done, total: reported(f"{request.target}, {request.side}: {done} of {total} images")


def _path(context: Context, request: AuditRequest) -> Path:
    return context.store.path(AUDITS, f"{request.key}.json")


def _requests(context: Context) -> list[AuditRequest]:
    sets, choice = context.get(ImageSetsStage), context.get(SelectionStage)
    return [each for target in sets.targets.values() for each in _requests_of(sets.source, target, choice)]


def _requests_of(source: ImageSet, target: ImageSet, choice: SourceChoice) -> list[AuditRequest]:
    own = concatenate([target.splits["train"], target.splits["val"]])
    compared: dict[Literal["source", "train"], tuple[pa.Table, str]] = {}
    compared["train"] = (own, "+".join(target.fingerprints[split] for split in ("train", "val")))
    rows = _reused_rows(choice, target.name)
    if rows.size:
        compared["source"] = (source.splits["train"].take(rows), source.fingerprints["train"])
    return [
        AuditRequest(
            target=target.name,
            side=side,
            images=images,
            fingerprint=fingerprint,
            test=target.splits["test"],
            test_fingerprint=target.fingerprints["test"],
            settings=AuditSettings(),
        )
        for side, (images, fingerprint) in compared.items()
    ]


def _reused_rows(choice: SourceChoice, target: str) -> NDArray[np.int64]:
    """Return the rows of the source's train table that some method reuses for a target, ascending."""
    chosen = [
        choice.units[name].rows(selection.groups)
        for (name, _), selection in choice.selections.items()
        if name == target
    ]
    return np.unique(np.concatenate(chosen)) if chosen else np.empty(0, dtype=np.int64)


def _keep(request: AuditRequest, report: LeakReport, path: Path) -> None:
    pairs = tuple(_leak(request, pair) for pair in report.pairs)
    kept = AuditRecord(request.target, request.side, pairs, report.num_compared, tuple(report.summary()))
    write_sealed_json(path, to_json(kept))


def _leak(request: AuditRequest, pair: LeakPair) -> LeakRecord:
    source, test = _row_of(request.images, pair.source_index), _row_of(request.test, pair.test_index)
    return LeakRecord(**asdict(pair), source_path=str(source["path"]), test_path=str(test["path"]))


def _read(request: AuditRequest, path: Path) -> AuditRecord:
    """Read what `_keep` wrote, perhaps for a target of the same images under another name."""
    kept = from_json(AuditRecord, read_sealed_json(path), str(path))
    return replace(kept, target=request.target, side=request.side)


def _row_of(table: pa.Table, index: int) -> dict[str, Any]:
    position = int(np.searchsorted(table["index"].to_numpy(), index))  # indices ascend in every image table
    row: dict[str, Any] = table.slice(position, 1).to_pylist()[0]
    return row


def _record(request: AuditRequest, kept: AuditRecord, folder: Path) -> None:
    """Write the pairs, and pictures of the first of them, into the study's folder."""
    write_json(folder / f"{request.target}-{request.side}.json", to_json(kept))
    pairs = sorted(kept.pairs, key=lambda pair: -pair.likeness)[:MAX_PAIRS]
    sheets = folder / f"{request.target}-{request.side}"
    if pairs and not sheets.exists():
        write_contact_sheets([_picture(request, pair) for pair in pairs], sheets)


def _picture(request: AuditRequest, pair: LeakRecord) -> PairCard:
    sides = (_row_of(request.images, pair.source_index), _row_of(request.test, pair.test_index))
    left, right = (decode_square(read_content(row["path"], row["content"]), SHEET_IMAGE_SIZE) for row in sides)
    lines = (*(Path(row["path"]).name for row in sides), f"{pair.kind}, likeness {pair.likeness:.3f}")
    return PairCard(left, right, lines)


def _notice(request: AuditRequest, kept: AuditRecord, dropped: bool, clock: StageClock) -> None:
    if not kept.pairs:
        return
    what = "of the source" if request.side == "source" else "to train on"
    fate = " and are left out" if dropped and request.side == "source" else ""
    clock.notice(
        f"{kept.num_leaking} images {what} show {kept.num_shown} of the {request.test.num_rows} test images of "
        f"{request.target!r}{fate}; their pairs and pictures are in {AUDITS}/ of the study"
    )


def _check_something_is_left(choice: SourceChoice, units: Mapping[str, Any]) -> None:
    for (target, method), selection in choice.selections.items():
        if not units[target].rows(selection.groups).size:
            raise UserError(
                f"a selection must keep an image that shows no test image of {target!r}, but all that {method!r} "
                "selects do; select more, or set audit.drop_leaks to false"
            )


def audit_artifacts(folder: Path) -> list[tuple[Path, str | None]]:
    """List the audits in a study's folder, with the artifact folder of each file."""
    root = folder / AUDITS
    return [(path, path.parent.relative_to(folder).as_posix()) for path in sorted(root.rglob("*.*")) if path.is_file()]
