"""Floor 3: where log lines go. An application opens the sinks; the library only emits."""
