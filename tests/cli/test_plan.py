"""What `sweep plan` prints."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from dominoes.cli.commands import main


@pytest.mark.parametrize(
    ("source", "code", "said"),
    [
        ("digits", 2, "Error: model detector takes (classes: 'int') and cannot be called as (classes, widht=8)"),
        ("mnist", 0, "Note: no step of training was tried: no test pictures of mnist"),
    ],
)
def test_a_plan_without_timing_tries_what_could_fail(
    source: str, code: int, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An argument that the network does not take is found before the sweep is run; where the pictures are missing a note says that it was
    not looked for."""
    monkeypatch.delenv("DOMINOES_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    values = {"dataset.n": 100, "dataset.top": source, "dataset.bottom": "textures", "dataset.prevalence": [0.5, 0.5]}
    fields = "".join(f"  {name}: {{value: {value}}}\n" for name, value in values.items())
    (tmp_path / "s.yaml").write_text(f"method: grid\nparameters:\n{fields}  train.model_args.widht: {{values: [8]}}\n", encoding="utf-8")
    result = CliRunner().invoke(main, ["sweep", "plan", str(tmp_path / "s.yaml"), "--no-timing"])
    assert (result.exit_code, said in result.stderr) == (code, True), result.output


def test_a_plan_tells_the_two_seeds_apart(tmp_path: Path) -> None:
    """A sweep of deals and seeds has a column of each name."""
    values = {"n": 100, "top": "digits", "bottom": "textures", "prevalence": [0.5, 0.5]}
    fields = "".join(f"  dataset.{name}: {{value: {value}}}\n" for name, value in values.items())
    seeds = "  dataset.seed: {values: [0, 1]}\n  seed: {values: [0, 1]}\n"
    (tmp_path / "s.yaml").write_text(f"method: grid\nparameters:\n{fields}{seeds}", encoding="utf-8")
    result = CliRunner().invoke(main, ["sweep", "plan", str(tmp_path / "s.yaml"), "--no-timing"])
    assert result.exit_code == 0, result.output
    assert result.stdout.split()[:4] == ["run", "dataset.seed", "seed", "dominoes"]
