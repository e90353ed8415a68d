"""The page: sections as one self-contained HTML file."""
