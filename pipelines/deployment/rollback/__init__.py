"""The operation rollback: an earlier version goes live again."""
