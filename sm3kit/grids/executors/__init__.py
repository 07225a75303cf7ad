"""Where a grid is worked on: processes of this machine, Ray, SLURM."""
