"""What serving adds to a request row before it is read."""
