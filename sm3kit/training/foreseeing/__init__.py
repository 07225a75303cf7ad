"""What a training will take, before it takes it."""
