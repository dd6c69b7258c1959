"""The steps that make features, one small spec each; what fits them lies under the same name in ``fitting``."""
