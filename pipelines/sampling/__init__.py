"""Thins the unsealed rows of a table, strata kept."""
