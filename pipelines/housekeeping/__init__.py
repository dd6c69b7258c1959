"""Removes what is old, by policy: nothing that is live, kept, or still in use."""
