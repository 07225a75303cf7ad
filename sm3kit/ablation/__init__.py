"""Grids of variants: what is trained, and the tables and curves of what came out."""
