"""Pre-fusion: encoders' states to the modality `multi`."""
