"""The command of the local learning coefficient."""

from pathlib import Path

import pandas as pd
from click.testing import CliRunner

from dominoes.cli.commands import main

DOMINOES = ["--top", "digits", "--bottom", "textures", "--n", "200", "--prevalence", "0.7", "0.6", "--probe", "40"]


def test_from_training_to_the_table(tmp_path: Path) -> None:
    """`train --checkpoints last`, then `llc --plan`, then `llc`; mistakes cost a sentence and write nothing."""
    runner, results, out = CliRunner(), tmp_path / "results", tmp_path / "llc.csv"
    train = ["train", *DOMINOES, "--model", "mlp", "--measurements", "2", "--checkpoints", "last", "--device", "cpu"]
    done = runner.invoke(main, [*train, "--out", str(results)], catch_exceptions=False)
    assert done.exit_code == 0, done.stderr
    how = "--on top,bottom --gamma 10000 --draws 30 --chains 2 --batch 16 --weights layers.5"
    few = ["llc", str(results), *how.split()]
    planned = runner.invoke(main, [*few, "--plan"], catch_exceptions=False)
    assert planned.stdout.startswith("1 checkpoints × localisations, 0 done; 2 chains × 30 steps each: 60 steps of ")
    mistakes = {"": "--out is missing", "--on left --plan": "no kind of domino", "--steps x --plan": "--steps: expected whole numbers"}
    for wrong, said in mistakes.items():
        refused = runner.invoke(main, [*few, *wrong.split()])
        assert refused.exit_code == 2
        assert said in refused.stderr
    assert not (results / "llc").exists()
    done = runner.invoke(main, [*few, "--workers", "1", "--out", str(out)], catch_exceptions=False)
    assert done.exit_code == 0, done.stderr
    assert list(pd.read_csv(out)["kind"]) == ["mix", "top", "bottom"]
    assert done.stdout.splitlines()[0] == "0 of 3 estimates have converged"
    assert done.stdout.splitlines()[-1] == str(out)
