"""What the host knows of tensors on a GPU."""
