"""The row recipe: from any raw row to a clean one."""
