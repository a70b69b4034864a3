"""Follow files: `FileTailer` and its parts."""
