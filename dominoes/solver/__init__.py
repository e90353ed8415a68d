"""A request and a stock become exact, verified integer counts, or the reason why not."""
