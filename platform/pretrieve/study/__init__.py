"""Studies: their settings, the walk from image tables to the report, and the Python facade."""
