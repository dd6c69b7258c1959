"""The command `aimass`."""
