"""Log sinks of a daemon: the log file, JSON lines, the console."""
