"""Extraction: from a free answer to labels or a number, by named and versioned policies."""
