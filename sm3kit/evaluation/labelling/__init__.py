"""Networks that end in a classifier: built, trained with labels, kept and opened again."""
