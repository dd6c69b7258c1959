"""Monitoring: is each live model answering, correctly, freshly, and on the data it was trained for."""
