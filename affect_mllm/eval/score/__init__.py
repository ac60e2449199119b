"""Scores of one run and of several: answers, metrics by part, summaries, suites."""
