"""The catalog: what people say of models, found by search; one set of verbs for terminal, API and page."""
