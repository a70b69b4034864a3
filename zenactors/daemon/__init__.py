"""Floor 3: the application around the engine: configuration, life-cycle, signals."""
