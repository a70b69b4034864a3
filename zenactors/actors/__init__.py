"""Floor 2: the pure core under real threads. pykka lives here and nowhere else."""
