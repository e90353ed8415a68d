"""Tables of curves become fits, predictions and verdicts. Knows neither solver nor data nor training."""

from typing import TYPE_CHECKING

from dominoes import lazy

if TYPE_CHECKING:
    from dominoes.theory.comparison import compare, compare_groups
    from dominoes.theory.fits.curve import fit_curve
    from dominoes.theory.fits.pattern_model import fit_patterns
    from dominoes.theory.fits.table import fit_table
    from dominoes.theory.pattern_model import Pattern, PatternModel
    from dominoes.theory.sweep_comparison import compare_sweep
    from dominoes.theory.verdicts import Comparison, Margins

__all__ = [
    "Comparison",
    "Margins",
    "Pattern",
    "PatternModel",
    "compare",
    "compare_groups",
    "compare_sweep",
    "fit_curve",
    "fit_patterns",
    "fit_table",
]

__getattr__, __dir__ = lazy.names(
    __name__,
    {
        "Comparison": "theory.verdicts",
        "Margins": "theory.verdicts",
        "Pattern": "theory.pattern_model",
        "PatternModel": "theory.pattern_model",
        "compare": "theory.comparison",
        "compare_groups": "theory.comparison",
        "compare_sweep": "theory.sweep_comparison",
        "fit_curve": "theory.fits.curve",
        "fit_patterns": "theory.fits.pattern_model",
        "fit_table": "theory.fits.table",
    },
)
