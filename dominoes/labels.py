"""How many classes a table by class tells of, and its runs."""

from __future__ import annotations

import numpy as np
import pandas as pd


def count_classes(labels: pd.Series) -> tuple[int, str]:
    """K, and a note where the labels are not 0 to K − 1: the classes that occur, or as many as the largest label asks for where at least
    half of those do, since one that is missing is more likely lost than not there. 0 without labels."""
    found = np.unique(pd.to_numeric(labels, errors="coerce").dropna().to_numpy(float))
    if not len(found):
        return 0, ""
    asked = int(found[-1]) + 1
    count = asked if found[0] >= 0 and len(found) < asked <= 2 * len(found) else len(found)
    if count == asked == len(found):
        return count, ""
    absent = sorted({*range(count)} - {*found})
    named = ", ".join(map(str, absent[:5])) + (", ..." if len(absent) > 5 else "")
    lost = f"lacks label {named} of 0 to {count - 1}" if count == asked else f"has labels from {found[0]:g} to {found[-1]:g}"
    return count, f"the table of classes {lost}: {count} classes are taken"


def classes_of_runs(by_class: pd.DataFrame | None) -> dict[str, int]:
    """Run -> K, from the labels of each run's rows by class; without those of which there are not two, and none of a table without runs."""
    if by_class is None or not {"run", "label"} <= {*by_class.columns}:
        return {}
    labels = by_class[["run", "label"]].drop_duplicates()
    counts = {str(run): count_classes(each)[0] for run, each in labels.groupby("run", sort=False, observed=True)["label"]}
    return {run: count for run, count in counts.items() if count > 1}
