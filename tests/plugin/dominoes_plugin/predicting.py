"""A theory."""

from collections.abc import Mapping
from typing import Any

import pandas as pd


class TopAlone:
    """Doubles are answered as the top alone is."""

    def fit(self, curves: pd.DataFrame, specs: pd.DataFrame) -> None:
        """There is nothing to fit."""

    def forecast(self, spec: Mapping[str, Any], given: pd.DataFrame, asked: pd.DataFrame) -> pd.DataFrame:
        """The mean over runs of the top's curves."""
        mean = given[given["kind"] == "top"].groupby("step")[["accuracy", "loss"]].mean()
        return asked.assign(mean=[mean.loc[step, metric] for metric, step in zip(asked["metric"], asked["step"], strict=True)])
