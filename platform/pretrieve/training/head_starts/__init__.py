"""Head starts: how fresh heads get their first weights, one file each, behind the contract in `_base`."""

from pretrieve.training.head_starts._base import HeadProblem as HeadProblem
from pretrieve.training.head_starts._base import HeadStart as HeadStart
