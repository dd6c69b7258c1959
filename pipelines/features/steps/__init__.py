"""The steps that make features, one small spec each; the module of the same name in ``fitting`` fits them."""
