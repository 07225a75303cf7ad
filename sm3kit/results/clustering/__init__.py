"""Tables of how well pseudo-labels agree with true labels: of a run, and of a grid."""
