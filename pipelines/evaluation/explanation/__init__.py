"""What a version looks at, and where it is good or bad."""
