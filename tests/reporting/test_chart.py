"""Charts: their tables as CSV, and everything else as JSON."""

import io
import json

import numpy as np
import pandas as pd

from dominoes.reporting.chart import COLOURS, Chart, Line, Panel, json_value, rows_where


def chart() -> Chart:
    """Two groups of three steps; a band, a value that is missing, and names that CSV and HTML trip over."""
    table = pd.DataFrame(
        {"group": ['a, "b"'] * 3 + ["</script>"] * 3, "step": [0, 1, 10] * 2, "value": [1 / 3, np.nan, 1e-9, 123456789.0, 2.0, 0.1]}
    )
    panel = Panel("", "step", "training step", "value", (Line("value", "v", "top"),))
    return Chart("x", "X", "n = 1", table, (panel,), choice="group")


def test_the_csv_reads_back_to_six_digits() -> None:
    """Values keep six significant digits, what is missing is empty, and names survive."""
    found = pd.read_csv(io.StringIO(chart().csv()))
    assert list(found["group"]) == list(chart().table["group"])
    assert np.allclose(found["value"], chart().table["value"], rtol=5e-6, equal_nan=True)
    assert found["value"].isna().sum() == 1


def test_the_plan_is_plain_json() -> None:
    """No NaN is written, columns of text are named, and every colour is one of the palette."""
    text = json.dumps(chart().plan(), allow_nan=False)
    plan = json.loads(text)
    assert plan["text"] == ["group"]
    assert plan["parts"][0]["type"] == "panel"
    assert plan["parts"][0]["rule"] is None
    assert plan["parts"][0]["lines"][0]["colour"] in COLOURS
    assert json_value({"a": (np.float64("inf"), np.int64(3))}) == {"a": [None, 3]}


def test_a_choice_is_one_part_of_the_table() -> None:
    """Choices come in the table's order and partition its rows; without a choice all rows are drawn."""
    made = chart()
    assert made.choices() == ['a, "b"', "</script>"]
    assert [len(made.chosen(choice)) for choice in made.choices()] == [3, 3]
    assert len(rows_where(made.table, {"group": "</script>", "step": 1})) == 1


def test_colours_are_told_apart_without_colour_vision() -> None:
    """The kinds' colours differ in luminance or hue enough: no two closer than 0.1 in CIE Lab lightness and in blue-yellow at once."""
    lab = {}
    for name in ("top", "bottom", "both", "conflict", "empty"):
        channels = np.array([int(COLOURS[name][k : k + 2], 16) for k in (1, 3, 5)]) / 255
        linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
        x, y, z = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]) @ linear
        f = [np.cbrt(value / white) for value, white in ((x, 0.9505), (y, 1.0), (z, 1.089))]
        # Protanopes and deuteranopes see lightness and blue against yellow, nothing else.
        lab[name] = np.array([116 * f[1] - 16, 200 * (f[1] - f[2])])
    names = list(lab)
    distances = [np.linalg.norm(lab[a] - lab[b]) for i, a in enumerate(names) for b in names[:i]]
    assert min(distances) > 10
