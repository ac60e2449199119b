"""Asking models: questions, views of a clip, files of answers, judges and baselines."""
