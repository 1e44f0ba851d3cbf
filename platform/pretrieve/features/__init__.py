"""Features of images by Ray Data, kept as Parquet shards, and the centroids made of them."""
