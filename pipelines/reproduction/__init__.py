"""A recorded night, run again and compared."""
