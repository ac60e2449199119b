"""The language model: its templates of positions, attention, adapters and quantisation."""
