"""A variant is trained: both stages, and what learns from labels."""
