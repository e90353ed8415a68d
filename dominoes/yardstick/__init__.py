"""How simple one side alone is to a network."""
