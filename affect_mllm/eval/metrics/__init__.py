"""Metrics as sums over samples, so that one bootstrap gives an interval to each of them."""
