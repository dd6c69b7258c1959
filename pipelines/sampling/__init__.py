"""Samples the unsealed rows of a table by stratum."""
