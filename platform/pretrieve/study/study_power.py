"""What the planned repeats of a study can see, and how many repeats a difference needs, before they run."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial

from pretrieve.data.metric_words import find_metrics
from pretrieve.errors import UserError
from pretrieve.records.forecast import CellForecast, PowerForecast
from pretrieve.stages.context import Context
from pretrieve.stages.image_sets import ImageSetsStage
from pretrieve.stages.verdict import common_repeats, judge, kept_of_record
from pretrieve.statistics import (
    Spread,
    average_spread,
    detectable_difference,
    detection_power,
    equivalence_power,
    nominal_level,
    provable_margin,
    typical_spread,
)
from pretrieve.statistics.power import least_repeats
from pretrieve.statistics.spread import LEAST_REPEATS
from pretrieve.statistics.verdict import AVERAGES_SHARE

LEVEL = 0.05
TYPICAL_REPEAT_SD = 0.05
TYPICAL_IMAGE_SD = 0.2
"""Standard deviations of the difference of two rows on one target, between repeats and between test images: for repeats
the median of 28 differences over five seeds (docs/results/photos.md), for images what rows have that disagree on one
image in 25 whichever the repeat."""


def forecast_power(
    context: Context, cells: Sequence[CellForecast], num_concurrent: int, detect: float | None
) -> tuple[PowerForecast, ...]:
    """Forecast what each primary contrast can show; one forecast for all of them where there is no pilot.

    The pilot are the study's own repeats, from three on. Without them typical spreads stand in.

    Args:
      context: of a walk that makes nothing.
      cells: timed, of the same study.
      num_concurrent: trials at a time; 0 where nothing was measured.
      detect: a true difference in scores, for which the repeats are counted; None for none.

    Raises:
      UserError: `detect` is not in (0, 1], or the study compares no rows.
    """
    settings = context.settings
    if detect is not None and not (0 < detect <= 1 and settings.named_contrasts):
        raise UserError(
            f"a difference to detect must be above 0 and at most 100 points, of a study that compares rows, but is "
            f"{100 * detect:g} with {len(settings.named_contrasts)} contrasts; give such as 0.8, and name `contrasts`"
        )
    if not settings.named_contrasts or (settings.repeats.draws == 1 and detect is None):
        return ()
    trial_s = _trial_seconds_a_repeat(context, cells)
    return tuple(
        _forecast(context, name, spread, basis, detect=detect, cost=(trial_s, trial_s / max(num_concurrent, 1)))
        for name, spread, basis in _pilot(context) or _typical(context)
    )


def _forecast(
    context: Context, name: str, spread: Spread, basis: str, *, detect: float | None, cost: tuple[float, float]
) -> PowerForecast:
    settings, margin = context.settings, context.settings.margin / 100
    level_of = partial(_first_level, context)
    planned, level = spread.with_repeats(max(settings.repeats.draws, 2)), level_of(settings.repeats.draws)
    sees = settings.repeats.draws >= LEAST_REPEATS

    def repeats_for(power: Callable[[Spread, float], float]) -> int | None:
        return least_repeats(lambda more: power(more, level_of(more.num_repeats)), spread)

    return PowerForecast(
        contrast=name,
        basis=basis,
        num_repeats=settings.repeats.draws,
        level=level,
        detectable=detectable_difference(planned, level=level) if sees else None,
        provable_margin=provable_margin(planned, level=level) if sees else None,
        margin=margin,
        repeats_to_equivalence=repeats_for(lambda more, here: equivalence_power(more, margin, level=here)),
        difference=detect,
        repeats_to_detect=None
        if detect is None
        else repeats_for(lambda more, here: detection_power(more, detect, here)),
        trial_s_a_repeat=cost[0],
        wall_s_a_repeat=cost[1],
    )


def _first_level(context: Context, num_repeats: int) -> float:
    """Return the level of the first of Holm's tests, at a verdict with so many repeats."""
    settings, record = context.settings, context.record
    share = AVERAGES_SHARE if len(settings.targets) > 1 else 1.0
    level = share * LEVEL / len(settings.named_contrasts)
    if settings.repeats.looks == "one" or num_repeats < LEAST_REPEATS:
        return level
    verdict = None if record is None else record.verdict
    before = () if verdict is None else tuple(look for look in verdict.looks if look < num_repeats)
    return nominal_level((*before, num_repeats), level)


def _pilot(context: Context) -> list[tuple[str, Spread, str]]:
    """Return the spread of each primary contrast over the repeats that are there; none below three."""
    settings, record = context.settings, context.record
    if record is None:
        return []
    targets = context.get(ImageSetsStage).targets
    kept = kept_of_record(record, settings.folder)
    repeats = common_repeats(kept, settings.named_contrasts, targets)
    if len(repeats) < LEAST_REPEATS:
        return []
    metrics = {name: find_metrics([target.metric])[0] for name, target in targets.items()}
    found = judge(settings.named_contrasts, metrics, kept, repeats)
    basis = f"from the {len(repeats)} repeats that are there"
    primary = [each for each in found if each.target is None] or found
    return [(f"{each.first} − {each.second}", each.difference.spread, basis) for each in primary]


def _typical(context: Context) -> list[tuple[str, Spread, str]]:
    targets = context.get(ImageSetsStage).targets.values()
    of_targets = [typical_spread(TYPICAL_REPEAT_SD, TYPICAL_IMAGE_SD, max(2, t.num_images("test"))) for t in targets]
    basis = (
        f"from typical spreads: a difference on one target varies by {100 * TYPICAL_REPEAT_SD:g} points between "
        f"repeats (docs/results/photos.md) and by {100 * TYPICAL_IMAGE_SD:g} between test images; three repeats of "
        "this study replace them"
    )
    return [("each contrast", average_spread(of_targets), basis)]


def _trial_seconds_a_repeat(context: Context, cells: Sequence[CellForecast]) -> float:
    """Return the seconds of the trials and refits of a repeat, one after the other: as forecast, or as they took."""
    forecast_s = sum(cell.num_trials * cell.trial_s + cell.num_refits * cell.refit_s for cell in cells)
    if forecast_s or context.record is None:
        return forecast_s / context.settings.repeats.draws
    runs = [run for cell in context.record.cells for run in (*cell.trials, *cell.refits)]
    num_repeats = len({run.repeat for run in runs})
    return math.fsum(run.seconds for run in runs) / max(num_repeats, 1)
