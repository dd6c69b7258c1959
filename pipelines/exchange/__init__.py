"""Models that come from elsewhere and go elsewhere: import, signed archives, ONNX, evaluation on a given table."""

EVALUATIONS = "_evaluation"
"""Folder below the docs with the pages of versions that were judged on a table; no model has this name."""
FORMATS = {"archive": "application/zip", "onnx": "application/octet-stream"}
"""Content type of each format that a version is exported in."""
