"""Readers of publishers' formats, shared by the recipes: tables, JSON, npz, text, media folders."""
