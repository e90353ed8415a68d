"""What `sweep plan` prints."""

from pathlib import Path

from click.testing import CliRunner

from dominoes.cli.commands import main


def test_a_plan_tells_the_two_seeds_apart(tmp_path: Path) -> None:
    """A sweep of deals and seeds has a column of each name."""
    values = {"n": 100, "top": "digits", "bottom": "textures", "prevalence": [0.5, 0.5]}
    fields = "".join(f"  dataset.{name}: {{value: {value}}}\n" for name, value in values.items())
    seeds = "  dataset.seed: {values: [0, 1]}\n  seed: {values: [0, 1]}\n"
    (tmp_path / "s.yaml").write_text(f"method: grid\nparameters:\n{fields}{seeds}", encoding="utf-8")
    result = CliRunner().invoke(main, ["sweep", "plan", str(tmp_path / "s.yaml"), "--no-timing"])
    assert result.exit_code == 0, result.output
    assert result.stdout.split()[:4] == ["run", "dataset.seed", "seed", "dominoes"]
