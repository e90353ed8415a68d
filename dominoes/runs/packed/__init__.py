"""Finished runs kept together: Parquet shards of several hundred runs, and a manifest of one short row a run."""
