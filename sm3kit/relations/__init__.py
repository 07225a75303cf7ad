"""Relations: a feature becomes one embedding per label."""
