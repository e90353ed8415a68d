"""Results are gathered, completed, charted, and written as a page or stills."""
