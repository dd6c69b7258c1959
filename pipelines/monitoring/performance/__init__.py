"""How good the model is now: realised where labels have come, estimated where they have not."""
