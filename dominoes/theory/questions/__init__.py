"""What a comparison asks of curves, one question a module."""
