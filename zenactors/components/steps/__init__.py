"""Steps between a source and its sinks."""
