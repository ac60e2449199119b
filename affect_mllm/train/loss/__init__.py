"""Losses by name: each a sum over what it is about, divided by the whole step's count."""
