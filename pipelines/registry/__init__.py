"""Registers a version: ledger, model store, MLflow with its aliases."""
