"""Figures of a run and of the paper, and one page that tells all of it."""
