"""Strategies to search the grid of a cell: train all, stop weak trials early, or let a model propose trials."""
