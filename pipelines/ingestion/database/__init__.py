"""Databases: named connections, queries, and cells digit for digit."""
