"""The published data sets by the names that studies and the command line use."""

from __future__ import annotations

from collections.abc import Mapping

from pretrieve.data.published._base import PublishedSet
from pretrieve.data.published.aircraft import Aircraft
from pretrieve.data.published.caltech101 import Caltech101
from pretrieve.data.published.cub import Cub
from pretrieve.data.published.dtd import Dtd
from pretrieve.data.published.pets import Pets
from pretrieve.data.published.stanford_cars import StanfordCars
from pretrieve.data.published.stanford_dogs import StanfordDogs
from pretrieve.data.published.sun397 import Sun397
from pretrieve.errors import UserError, nearest_word

_READERS = (StanfordDogs, StanfordCars, Cub, Pets, Sun397, Aircraft, Dtd, Caltech101)

PUBLISHED: Mapping[str, PublishedSet] = {reader.name: reader() for reader in _READERS}
"""The eight targets of the paper, in the order of its tables."""


def find_published(name: str) -> PublishedSet:
    """Find the published data set of that name; an unknown name raises a UserError.

    >>> find_published("cub").facts.title
    'CUB-200-2011'
    """
    if name not in PUBLISHED:
        raise UserError(
            f"a published data set must be one of {', '.join(PUBLISHED)}, but is {name!r}."
            f"{nearest_word(name, PUBLISHED)}"
        )
    return PUBLISHED[name]
