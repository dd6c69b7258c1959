"""Estimator families: factory, search space, input adapter, native save. One file a family, one contract (`base`)."""
