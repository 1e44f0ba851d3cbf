"""Studies: their settings, the walk through their stages, and the Python interface."""
