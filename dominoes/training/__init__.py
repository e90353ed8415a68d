"""One network learns one dataset on one device, and is scored."""
