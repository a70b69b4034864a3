"""Sources: they bring events into the daemon."""
