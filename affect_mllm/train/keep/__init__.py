"""What stays of a run: checkpoints, lineage, averages, progress."""
