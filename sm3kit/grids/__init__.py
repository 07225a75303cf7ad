"""Grids of variants: what is trained, where, and what came out."""
