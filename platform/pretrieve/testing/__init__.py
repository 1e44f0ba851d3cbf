"""Suites that check whether a member of a family keeps its contract, for the tests of one's own members.

Each is a function that returns nothing, or raises an AssertionError with the rule, what was found, and where.
"""

from pretrieve.testing.backbones import check_backbone as check_backbone
from pretrieve.testing.head_starts import check_head_start as check_head_start
from pretrieve.testing.metrics import check_metric as check_metric
from pretrieve.testing.objectives import check_objective as check_objective
from pretrieve.testing.optimizers import check_optimizer as check_optimizer
from pretrieve.testing.schedules import check_schedule as check_schedule
from pretrieve.testing.selectors import check_selector as check_selector
from pretrieve.testing.strategies import check_strategy as check_strategy
from pretrieve.testing.targets import check_target as check_target
from pretrieve.testing.views import check_view as check_view
