"""Decides which rows are sealed: they judge models and train none."""
