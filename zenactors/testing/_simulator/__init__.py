"""The simulator: tasks on one thread instead of threads, moved one at a time by a random seed."""
