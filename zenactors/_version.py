"""The version, in a module that imports nothing: the build reads it."""

__version__ = "0.1.0"
"""The version of the package."""
