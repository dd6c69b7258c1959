"""Builds the signed bento of a version."""
