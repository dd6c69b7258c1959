"""Databases: named connections, queries, and cells with all digits."""
