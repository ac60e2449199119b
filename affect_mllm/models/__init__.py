"""Encoders, pre-fusion, compressors, splicing and the LLM."""
