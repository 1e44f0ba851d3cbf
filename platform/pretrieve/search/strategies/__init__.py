"""How the grid of a cell is searched: whole, with hopeless trials stopped early, or by a model of what was tried."""
