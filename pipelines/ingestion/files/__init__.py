"""Files: how they are written, and how they become one table."""
