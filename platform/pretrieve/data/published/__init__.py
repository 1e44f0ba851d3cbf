"""The paper's eight targets (appendix A), one file each, read as their publishers lay them out."""
