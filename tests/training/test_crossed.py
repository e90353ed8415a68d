"""Answers crossed picture by picture: against a table worked by hand, and against one picture at a time."""

from collections import Counter
from typing import Any

import numpy as np
import pytest

from dominoes import tables
from dominoes.data.dealing import Deal, deal_spec
from dominoes.data.dominoes import Dominoes
from dominoes.data.probe_sets import probes
from dominoes.spec import SIDES, DominoSpec, RunSpec, TrainSpec
from dominoes.training.crossed import crossings
from dominoes.training.loop import train
from dominoes.training.scorer import logits

BLANK = [-1, -1]


def rows(label: list[int], top: list[int], bottom: list[int], shown_top: list[int], shown_bottom: list[int]) -> Deal:
    """A deal from lists."""
    index, shown = (
        {side: np.array(values) for side, values in zip(SIDES, pair, strict=True)} for pair in ((top, bottom), (shown_top, shown_bottom))
    )
    return Deal(np.array(label), index, shown)


def test_counts_are_those_worked_by_hand() -> None:
    """Two doubles and two conflicts over three top and two bottom pictures, one of which no probe shows alone."""
    found = {
        "top": rows([0, 1], [4, 7], BLANK, [0, 1], BLANK),
        "bottom": rows([0, 1], BLANK, [2, 3], BLANK, [0, 1]),
        "both": rows([0, 1], [4, 7], [2, 3], [0, 1], [0, 1]),
        # Picture 9 of class 2 is in no other probe.
        "conflict": rows([2, 1], [9, 7], [3, 2], [2, 1], [1, 0]),
    }
    joined = Deal(
        *(np.concatenate([each.label for each in found.values()]),),
        *(  # type: ignore[arg-type]
            {side: np.concatenate([getattr(each, part)[side] for each in found.values()]) for side in SIDES} for part in ("index", "shown")
        ),
    )
    crossed = crossings(found, joined)
    assert crossed.missing.index["top"].tolist() == [9]
    assert crossed.missing.index["bottom"].tolist() == [-1]
    assert crossed.missing.label.tolist() == crossed.missing.shown["top"].tolist() == [2]
    # top alone: 4 right, 7 wrong; bottom alone: 2 right, 3 wrong; doubles right, wrong; conflicts top, bottom; picture 9 alone wrong.
    answers = np.array([0, 0, 0, 0, 0, 0, 2, 0, 1])
    assert sorted(crossed.counts(answers)) == [
        ("both", 0, 0, "wrong", 1),
        ("both", 1, 1, "right", 1),
        ("conflict", 0, 0, "top", 1),
        ("conflict", 0, 1, "bottom", 1),
    ]
    answers[6:8] = 0, 2
    assert sorted(row for row in crossed.counts(answers) if row[0] == "conflict") == [
        ("conflict", 0, 0, "neither", 1),
        ("conflict", 0, 1, "neither", 1),
    ]


@pytest.mark.parametrize(("top", "bottom", "n"), [("digits", "textures", 60), ("digits", "textures", 37), ("digits", "digits", 40)])
def test_the_table_is_that_of_each_picture_asked_by_itself(top: str, bottom: str, n: int) -> None:
    """The last step's counts are those of asking the network about each double, each conflict and each of their halves one at a time;
    also where kinds differ in pictures (an n that classes do not divide) and where both sides share one stock."""
    spec = DominoSpec(n=300, prevalence=(0.6, 0.6), top=top, bottom=bottom, reuse=2)
    dealt, tests = deal_spec(spec), probes(spec, n, 0)
    how = TrainSpec(epochs=4, batch=32, measurements=3, probe=n, lr=0.02)
    trained = train(RunSpec(dataset=spec, train=how), Dominoes.of(dealt), tests)
    assert tables.table_problems(trained.joint, form="joint") == []
    sizes = trained.joint.groupby(["probe", "step"])["n"].sum()
    assert set(sizes) == {n}
    assert set(trained.joint["step"]) == set(trained.curves["step"])
    wanted: Counter[tuple[Any, ...]] = Counter()
    for kind in ("both", "conflict"):
        deal = tests[kind].deal
        for row in range(n):
            alone = []
            for side in SIDES:
                one = {each: np.array([deal.index[side][row] if each == side else -1]) for each in SIDES}
                answer = _answer(trained.network, tests[kind], one)
                alone.append(int(answer == deal.shown[side][row]))
            answer = _answer(trained.network, tests[kind], {side: deal.index[side][[row]] for side in SIDES})
            shown = [deal.shown[side][row] for side in SIDES]
            if kind == "both":
                said = "right" if answer == deal.label[row] else "wrong"
            else:
                said = "top" if answer == shown[0] else "bottom" if answer == shown[1] else "neither"
            wanted[(kind, *alone, said)] += 1
    last = trained.joint[trained.joint["step"] == trained.steps]
    found = {tuple(row[:4]): row[4] for row in last.drop(columns=["run", "step"]).itertuples(index=False)}
    assert found == wanted
    # The averages of the curves follow from the counts.
    curves = trained.curves[(trained.curves["split"] == "test") & (trained.curves["step"] == trained.steps)].set_index("kind")
    right = sum(count for (kind, _, _, answer), count in found.items() if (kind, answer) == ("both", "right"))
    assert right / n == pytest.approx(curves.accuracy["both"])
    by_top = sum(count for (kind, _, _, answer), count in found.items() if (kind, answer) == ("conflict", "top"))
    assert by_top / n == pytest.approx(curves.agree_top["conflict"])


def _answer(network: Any, tests: Dominoes, index: Any) -> int:
    """The class that a network answers to one domino."""
    one = Deal(np.zeros(1, np.int64), index, {side: np.where(index[side] < 0, -1, 0) for side in SIDES})
    return int(logits(network, Dominoes(one, tests.sources["top"], tests.sources["bottom"], swap=tests.swap), TrainSpec()).argmax())
