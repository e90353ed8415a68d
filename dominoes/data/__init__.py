"""Names become pictures, counts a deal, a deal a dataset folder and batches."""
