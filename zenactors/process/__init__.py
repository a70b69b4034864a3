"""Floor 1: processes as the operating system sees them. No actors, no events."""
