"""What stage 2 learns: clusters of the studies, and their numbers."""
