"""Errors, names, options and the variant: the standard library only."""
