"""Trials → model directory: combines out-of-fold predictions, refits the members, writes and signs."""
