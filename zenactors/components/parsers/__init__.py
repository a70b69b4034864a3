"""Parsers: lines in, records out."""
