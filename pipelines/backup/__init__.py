"""Backups: written aside, verified after writing, restored only into an empty folder."""
