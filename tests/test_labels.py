"""How many classes the labels of a table tell of."""

import pandas as pd
import pytest

from dominoes.labels import count_classes


@pytest.mark.parametrize(
    ("labels", "count", "said"),
    [
        (range(10), 10, ""),
        ([0, 1], 2, ""),
        ([0, 1, 2, 4, 5, 6, 7, 8, 9], 10, "lacks label 3 of 0 to 9: 10 classes are taken"),
        ([3, 5], 2, "has labels from 3 to 5: 2 classes are taken"),
        ([-1, 0], 2, "has labels from -1 to 0: 2 classes are taken"),
        ([], 0, ""),
        (["a", None], 0, ""),
    ],
)
def test_a_label_that_is_missing_is_noticed(labels: list[object], count: int, said: str) -> None:
    """One of many is counted all the same; labels of a few classes far apart are as many as there are."""
    assert count_classes(pd.Series([*labels, *labels], dtype=object)) == (count, f"the table of classes {said}" if said else "")
