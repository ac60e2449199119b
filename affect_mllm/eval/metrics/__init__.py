"""Metrics as sums over samples, so that one way gives an interval and a p to each of them."""
