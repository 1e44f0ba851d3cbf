"""Members of Pretrieve's open families, one file each."""
