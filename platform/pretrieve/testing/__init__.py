"""Contract suites for the members of open families."""
