"""The hyperparameter search: grids, trials and their schedule on a Ray cluster."""
