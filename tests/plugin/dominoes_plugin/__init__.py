"""One of each thing that can be brought to dominoes."""
