"""Features: fits the feature plan on training rows with Dask, and writes their typed columns."""
