"""Strategies to search the grid of a cell, one file each, behind the contract in `_base`."""

from pretrieve.search.strategies._base import SearchStrategy as SearchStrategy
