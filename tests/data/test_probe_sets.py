"""Further probes: halves permuted over a probe, and more pairings of the same pictures."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from dominoes import tables
from dominoes.cli.commands import main
from dominoes.data.probe_sets import for_training, probes
from dominoes.spec import PERMUTED, PROBES, SIDES, DominoSpec, RunSpec, TrainSpec
from dominoes.theory.comparison import compare_groups

SPEC = DominoSpec(n=60, prevalence=(0.6, 0.5), top="digits", bottom="textures")


def test_a_permuted_half_says_nothing_of_the_label() -> None:
    """The pictures of that half are those of the doubles, each as often, in another order; the other half and the labels are untouched."""
    found = probes(SPEC, 200, 3, permuted=True)
    assert set(found) == {*PROBES, *PERMUTED}
    both = found["both"].deal
    for side, other in (SIDES, SIDES[::-1]):
        table = found[f"{side} permuted"].deal
        assert np.array_equal(table.label, both.label)
        assert np.array_equal(table.index[other], both.index[other])
        assert sorted(table.index[side]) == sorted(both.index[side])
        assert np.array_equal(found["both"].sources[side].labels[table.index[side]], table.shown[side])
        right = (table.shown[side] == table.label).mean()
        assert abs(right - 0.1) < 4 * np.sqrt(0.1 * 0.9 / 200)
    again = probes(SPEC, 200, 3, permuted=True)
    assert np.array_equal(again["top permuted"].deal.index["top"], found["top permuted"].deal.index["top"])
    assert np.array_equal(probes(SPEC, 200, 3)["conflict"].deal.index["top"], found["conflict"].deal.index["top"])


@pytest.mark.parametrize("kind", ["both", "conflict", "top permuted", "bottom permuted"])
def test_pairings_show_the_same_pictures_in_other_company(kind: str) -> None:
    """Every pairing has every picture as often as the first, each with its class and label; the first is the one without pairings."""
    plain, found = (probes(SPEC, 40, 1, permuted=True, pairings=count)[kind].deal for count in (1, 5))
    assert len(found) == 5 * len(plain)
    parts = [slice(start, start + 40) for start in range(0, 200, 40)]
    for part in parts:
        assert np.array_equal(found.label[part], plain.label)
        for side in SIDES:
            assert Counter(found.index[side][part]) == Counter(plain.index[side])
    if "permuted" not in kind:
        for side in SIDES:
            assert all(np.array_equal(found.shown[side][part], plain.shown[side]) for part in parts)
    pairs = {tuple(zip(found.index["top"][part], found.index["bottom"][part], strict=True)) for part in parts}
    assert len(pairs) == 5
    assert tuple(zip(plain.index["top"], plain.index["bottom"], strict=True)) in pairs


def test_further_probes_are_measured_and_leave_the_rest_alone(tmp_path: Path) -> None:
    """With permuted halves and pairings the rows of other kinds are the same bytes, and the run has another id; a comparison ignores the
    permuted kinds without a word."""
    flags = "--top digits --bottom textures --n 60 --prevalence 0.6 0.5 --epochs 1 --measurements 6 --probe 20"
    tabled = []
    for name, more in (("plain", []), ("more", ["--probe-permuted", "--probe-pairings", "3"])):
        done = CliRunner().invoke(main, ["train", *flags.split(), *more, "--out", str(tmp_path / name)])
        assert done.exit_code == 0, done.output
        (folder,) = (tmp_path / name / "runs").iterdir()
        tabled.append(tables.read_table(folder / "curves.csv"))
        joint = tables.read_table(folder / "joint.csv", form="joint")
        assert set(joint.groupby(["probe", "step"])["n"].sum()) == {60 if more else 20}
    plain, more_ = tabled
    alone = [table[table["kind"].isin(["top", "bottom", "empty"])].drop(columns="run").reset_index(drop=True) for table in tabled]
    assert alone[0].equals(alone[1])
    assert set(plain["kind"]) == set(PROBES)
    sizes = more_[more_["split"] == "test"].groupby("kind")["n"].max().to_dict()
    assert sizes == {"top": 20, "bottom": 20, "empty": 20, "both": 60, "conflict": 60, "top permuted": 60, "bottom permuted": 60}
    permuted = more_[more_["kind"] == "top permuted"]
    assert (permuted["agree_bottom"] == permuted["accuracy"]).all()
    assert plain["run"].iloc[0] != more_["run"].iloc[0]
    assert not any("permuted" in line for line in compare_groups(more_).lines())


def test_defaults_keep_ids_and_further_probes_are_part_of_them() -> None:
    """At their default the new fields are not in the canonical JSON; set, they are, and they are refused in words."""
    plain = RunSpec(dataset=SPEC, train=TrainSpec())
    assert "probe_permuted" not in plain.canonical()
    assert "decode" not in plain.canonical()
    how = TrainSpec(probe_permuted=True, probe_pairings=2, decode="last")
    for part in ('"probe_permuted":true', '"probe_pairings":2', '"decode":"last"'):
        assert part in RunSpec(dataset=SPEC, train=how).canonical()
    assert len(for_training(SPEC, TrainSpec(probe=10, probe_pairings=2))["both"]) == 20
    for flags, message in ((["--probe-pairings", "0"], "probe_pairings"), (["--decode", "never"], "decode")):
        done = CliRunner().invoke(main, ["train", "--n", "60", "--prevalence", "1", "1", *flags, "--out", "x"])
        assert (done.exit_code, message in done.stderr) == (2, True)
