"""What a served model carries: row recipe, feature plan, ensemble, and the signed manifest over them."""
