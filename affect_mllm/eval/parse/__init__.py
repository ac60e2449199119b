"""Extraction: from a free answer to a label, labels or a number, by named and versioned policies."""
