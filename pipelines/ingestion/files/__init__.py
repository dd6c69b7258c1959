"""Files: their formats, and how they are united into one table."""
