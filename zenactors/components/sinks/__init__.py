"""Sinks: they bring records to their place, and say when they are there."""
