"""Explanations of a version: which columns its predictions depend on, and where it is good or bad."""
