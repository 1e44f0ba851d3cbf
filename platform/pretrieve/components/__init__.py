"""The open families: what a study can name, built in, in a user's module or in an installed package."""

from pretrieve.components.families import BACKBONES as BACKBONES
from pretrieve.components.families import FAMILIES as FAMILIES
from pretrieve.components.families import HEAD_STARTS as HEAD_STARTS
from pretrieve.components.families import METRICS as METRICS
from pretrieve.components.families import OBJECTIVES as OBJECTIVES
from pretrieve.components.families import OPTIMIZERS as OPTIMIZERS
from pretrieve.components.families import SCHEDULES as SCHEDULES
from pretrieve.components.families import SELECTORS as SELECTORS
from pretrieve.components.families import STRATEGIES as STRATEGIES
from pretrieve.components.families import TARGETS as TARGETS
from pretrieve.components.families import VIEWS as VIEWS
from pretrieve.components.registry import Family as Family
