"""Images decoded once, kept as uint8 arrays in memory-mapped files and shared by all trials of a node."""
