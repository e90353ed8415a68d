"""The Sankey's numbers: nothing is lost on the way from the stock to the kinds."""

import numpy as np
import pytest

from dominoes.data import sources
from dominoes.data.dealing import Dealt
from dominoes.reporting.charts import dealt
from dominoes.solver import solution
from dominoes.solver.composition import Composition
from dominoes.spec import DominoSpec


def solved(**fields: object) -> Composition:
    """A composition of the embedded sources."""
    spec = DominoSpec.model_validate({"top": "digits", "bottom": "textures", "prevalence": (0.7, 0.6)} | fields)
    return solution.solve(spec, sources.stock(spec))


@pytest.mark.parametrize(
    "fields", [{"n": 300, "reliability": (0.8, 0.7)}, {"n": 250, "bottom": "digits", "reuse": 2}, {"n": 90, "empty": 0.2}]
)
def test_what_flows_in_flows_out(fields: dict[str, object]) -> None:
    """Every stock gives all its pictures; right and wrong halves go on whole; doubles take two pictures, empties none."""
    found = solved(**fields)
    table = dealt.sankey({"one": found}).table
    out, into = table.groupby("source")["count"].sum(), table.groupby("target")["count"].sum()
    for sides, pictures in found.stock.pools:
        name = f"{getattr(found.spec, sides[0])} ({'both sides' if len(sides) == 2 else sides[0]})"
        assert out[name] == found.spec.reuse * sum(pictures)
    for middle in set(out.index) & set(into.index):
        assert out[middle] == into[middle]
    kinds = found.kinds
    expected = {"top only": kinds["top"], "bottom only": kinds["bottom"], "both": 2 * kinds["both"], "empty": kinds["empty"]}
    assert {name: into.get(name, 0) for name in expected} == expected
    assert (table["count"] > 0).all()


def test_flows_are_those_of_the_dealt_rows(small: Dealt) -> None:
    """By class, as counted from the rows of the dataset."""
    table = dealt.sankey({"one": small.composition}).table.set_index(["source", "target", "label"])["count"]
    deal = small.deal
    for side in ("top", "bottom"):
        shown, right = deal.shown[side], deal.shown[side] == deal.label
        stock = f"{getattr(small.spec, side)} ({side})"
        for label in range(10):
            assert table.get((stock, f"{side} right", label), 0) == np.sum((shown == label) & right)
            assert table.get((stock, f"{side} wrong", label), 0) == np.sum((shown == label) & ~right)
            for kind, name in ((side, f"{side} only"), ("both", "both")):
                mine = (deal.label == label) & np.isin(np.arange(len(deal)), deal.of_kind(kind)) & (shown >= 0)
                assert table.get((f"{side} right", name, label), 0) == np.sum(mine & right)
                assert table.get((f"{side} wrong", name, label), 0) == np.sum(mine & ~right)


def test_every_node_has_a_place() -> None:
    """Nodes of the diagram are the names in the table, from left to right."""
    chart = dealt.sankey({"a": solved(n=300, reliability=(0.8, 0.7)), "b": solved(n=100)})
    (flow,) = chart.parts
    assert set(flow.nodes) == {*chart.table["source"], *chart.table["target"]}  # type: ignore[union-attr]
    column = {name: node.column for name, node in flow.nodes.items()}  # type: ignore[union-attr]
    assert all(column[row.source] == column[row.target] - 1 for row in chart.table.itertuples())
    assert chart.choices() == ["a", "b"]
    assert "n = 100 to 300" in chart.caption


def test_asked_and_dealt_are_the_compositions() -> None:
    """Requested and realised side by side, a dash where there is no number."""
    found = solved(n=90, prevalence=(0.5, 0))
    table = dealt.asked_and_dealt({"one": found}).set_index("parameter")
    assert table.loc["prevalence top", "realised"] == f"{found.realised['prevalence'][0]:.6g}"
    assert table.loc["ratio", "realised"] == "–"
    assert table.loc["n", "requested"] == "90"
    assert table.loc["top", "realised"] == str(found.kinds["top"])
