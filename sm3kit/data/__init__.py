"""Studies become batches: the pool, decoded images, and what is wrong with a data set."""
