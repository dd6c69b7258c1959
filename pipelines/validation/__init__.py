"""Checks a cleaned table against its Great Expectations suite."""
