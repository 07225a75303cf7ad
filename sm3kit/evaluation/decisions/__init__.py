"""Decisions: what turns the logits of a trained classifier into classes, chosen on validation."""
