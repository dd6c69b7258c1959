"""The step configure: what a bento is to hold, and what changes for callers."""
