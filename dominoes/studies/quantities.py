"""What is said of a study: the quantities that each run comes to, with the margin of each, and the columns of the table of numbers."""

from __future__ import annotations

from dominoes.spec import SIDES

#: Columns of headlines.csv.
HEADLINE_COLUMNS = ("part", "point", "quantity", "estimate", "low", "high", "scale", "margin", "n_runs")
POINTS, VARIANCE, CONTRASTS, COMPARISON = "points", "variance", "contrast", "comparison"
DIFFERENCE, RATIO = "difference", "ratio"
#: Of a run: by quantity, the kind of probe and the column that it is the late mean of.
LATE = {
    "late accuracy top": ("top", "accuracy"),
    "late accuracy bottom": ("bottom", "accuracy"),
    "late accuracy both": ("both", "accuracy"),
    "conflicts as top": ("conflict", "agree_top"),
    "conflicts as bottom": ("conflict", "agree_bottom"),
}
#: Of a run: by quantity, the kind whose late accuracy on the sample of training dominoes is held against that on test dominoes.
GAPS = {f"train less test accuracy {side}": side for side in SIDES}
ONSETS = tuple(f"onset {side}" for side in SIDES)
#: How far a number may be off in a study that is run again, and still agree: shares, and a factor for onsets.
MARGINS = {
    "late accuracy top": 0.03,
    "late accuracy bottom": 0.03,
    "late accuracy both": 0.03,
    "conflicts as top": 0.05,
    "conflicts as bottom": 0.05,
    **dict.fromkeys(GAPS, 0.03),
    **dict.fromkeys(ONSETS, 1.2),
}
