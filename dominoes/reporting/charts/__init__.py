"""Charts as data, before anything is drawn."""
