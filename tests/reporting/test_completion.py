"""What a page says of runs without files of verdicts beside them."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from dominoes.cli.commands import main
from dominoes.reporting import completion, results
from dominoes.theory.headlines import headline_sentences


def test_a_page_says_what_compare_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same headlines, by class and picture by picture; of very many specs from the curves alone, with a note."""
    data = "--n 600 --top digits --bottom textures --prevalence 0.6 0.6"
    how = f"--model mlp --epochs 8 --probe 100 --measurements 16 --seeds 0-2 --out {tmp_path / 'runs'}"
    done = CliRunner().invoke(main, ["train", *data.split(), *how.split()])
    assert done.exit_code == 0, done.output
    compared = CliRunner().invoke(main, ["compare", str(tmp_path / "runs"), "--out", str(tmp_path / "c.csv")])
    assert compared.exit_code == 0, compared.output
    found, _ = completion.with_bands(results.gather([tmp_path / "runs"]))
    assert found.judged is not None
    assert headline_sentences(found.judged) == compared.stdout.splitlines()[:5]
    assert "pictures" in set(found.judged["question"])
    monkeypatch.setattr(completion, "_CROSSED", 0)
    alone, _ = completion.with_bands(results.gather([tmp_path / "runs"]))
    assert alone.judged is not None
    assert "pictures" not in set(alone.judged["question"])
    assert any("the 1 drawn specs are judged from their curves alone" in note for note in alone.notes)
