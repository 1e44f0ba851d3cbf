"""The statistics of a study's verdict: intervals, contrasts, power and looks, as functions of arrays."""

from __future__ import annotations

from pretrieve.statistics.contributions import Contributions as Contributions
from pretrieve.statistics.contributions import TestedImages as TestedImages
from pretrieve.statistics.contributions import contributions as contributions
from pretrieve.statistics.contributions import mean_per_class_images as mean_per_class_images
from pretrieve.statistics.contributions import paired_difference as paired_difference
from pretrieve.statistics.contributions import top1_images as top1_images
from pretrieve.statistics.estimate import Estimate as Estimate
from pretrieve.statistics.estimate import Interval as Interval
from pretrieve.statistics.estimate import average_over_targets as average_over_targets
from pretrieve.statistics.estimate import estimate as estimate
from pretrieve.statistics.estimate import other_targets_interval as other_targets_interval
from pretrieve.statistics.looks import LOOKS as LOOKS
from pretrieve.statistics.looks import nominal_level as nominal_level
from pretrieve.statistics.one_standard_error import simplest_within_one_error as simplest_within_one_error
from pretrieve.statistics.power import detectable_difference as detectable_difference
from pretrieve.statistics.power import detection_power as detection_power
from pretrieve.statistics.power import equivalence_power as equivalence_power
from pretrieve.statistics.power import provable_margin as provable_margin
from pretrieve.statistics.power import repeats_to_detect as repeats_to_detect
from pretrieve.statistics.power import repeats_to_equivalence as repeats_to_equivalence
from pretrieve.statistics.pseudo_values import pseudo_values as pseudo_values
from pretrieve.statistics.spread import Spread as Spread
from pretrieve.statistics.spread import average_spread as average_spread
from pretrieve.statistics.spread import resplit_spread as resplit_spread
from pretrieve.statistics.spread import typical_spread as typical_spread
from pretrieve.statistics.temperature import fit_temperature as fit_temperature
from pretrieve.statistics.verdict import Contrast as Contrast
from pretrieve.statistics.verdict import Verdict as Verdict
from pretrieve.statistics.verdict import verdicts as verdicts
