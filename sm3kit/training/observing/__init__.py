"""What a training tells of itself on the way."""
