"""The trace of a run, and its picture as text."""
