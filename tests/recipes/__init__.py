"""Tests of data_recipes/: fixtures in each publisher's own format, made here."""
