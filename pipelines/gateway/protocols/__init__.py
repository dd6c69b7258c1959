"""The protocols that callers speak: each reads a body into a table and writes what was predicted."""
