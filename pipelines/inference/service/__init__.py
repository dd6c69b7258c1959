"""A version as a process: one unix socket, columns in, columns out."""
