"""Manifest rows to batches: read, mix, render, pack, collate, cache."""
