"""Floor 1: the pure core. No thread, no I/O, no log line; time is passed in."""
