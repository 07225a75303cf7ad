"""Losses between two sets of rows that are partners, with masks."""
