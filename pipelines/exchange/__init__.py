"""Models that come from elsewhere and go elsewhere: import, signed archives, ONNX, evaluation on a given table."""
