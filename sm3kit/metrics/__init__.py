"""What is measured on predictions and rankings, with intervals: numpy only."""
