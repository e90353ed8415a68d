"""Tables of curves become fits, predictions and verdicts. Knows neither solver nor data nor training."""
