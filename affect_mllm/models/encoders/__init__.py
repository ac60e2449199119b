"""Frozen or trainable encoders, one family a file."""
