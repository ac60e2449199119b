"""Compressors: encoder states to a few LLM tokens."""
