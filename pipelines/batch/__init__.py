"""Predictions for any number of rows, out of core, from the model directory alone."""
