"""Floor 4: the application around the engine: configuration, life cycle, signals, process."""
