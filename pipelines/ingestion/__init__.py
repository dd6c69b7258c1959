"""Reads the sources of a model into one immutable table, every value as received."""
