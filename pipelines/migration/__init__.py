"""The move of a home to another place: ledger, storage and registry."""
