"""Checkpoints of other projects to ours, one project a file."""
