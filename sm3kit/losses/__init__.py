"""Label losses: what the logits of one label cost."""
