"""What data sets are made with: CSV files, spelling, splits, doubles; the standard library only."""
