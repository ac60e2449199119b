"""Manifest rows to batches: manifest, mixture, template, example, packing, collate, loader, cache."""
