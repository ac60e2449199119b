"""Answers that the model gives while it trains, and what they are worth."""
