"""Patient metadata as a modality of sm3kit: a table row becomes a vector."""
