"""Floor 1: the edges of the operating system. No actor in it."""
