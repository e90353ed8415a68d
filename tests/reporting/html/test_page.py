"""The page: made of the charts, safe against what stands in names, and looked at in a real browser."""

import dataclasses
import json
import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import synthetic_runs
from click.testing import CliRunner

from dominoes.cli import commands, train
from dominoes.data.dealing import Dealt
from dominoes.errors import OutputError
from dominoes.reporting import results, sections
from dominoes.reporting import tables as report_tables
from dominoes.reporting.html import page as page_file
from dominoes.reporting.results import Results
from dominoes.runs import run_folders
from dominoes.runs.engines.protocol import WorkerSetting
from dominoes.solver.composition import Composition
from dominoes.solver.solution import solve
from dominoes.solver.stock import Stock
from dominoes.spec import DominoSpec, RunSpec, TrainSpec


@pytest.mark.slow
def test_the_page_has_all_seven_sections_and_no_address(page: Path, found: Results) -> None:
    """Everything is in the file: no link, script, style or picture from elsewhere; equal results are equal bytes."""
    text = page.read_text(encoding="utf-8")
    assert re.findall(r'<section id="(\w+)"', text) == ["learning", "dealt", "pictures", "theory", "sweep", "confused", "runs"]
    plain = re.sub(r">[A-Za-z0-9+/=]{200,}<", "><", text)
    ids = re.findall(r' id="([^"]+)"', plain)
    assert len(ids) == len(set(ids))
    assert not re.findall(r"(?:src|href|url)\s*[=(]\s*[\"']?(?:https?:)?//", plain)
    assert "https://" not in plain
    assert page_file.page(found.name, sections.sections(found)[:1]) == page_file.page(found.name, sections.sections(found)[:1])


@pytest.mark.parametrize(
    "spec",
    [
        RunSpec(dataset=DominoSpec(prevalence=(0.65, 0.65), top="digits", bottom="textures"), train=TrainSpec(), seed=3),
        RunSpec(
            dataset=DominoSpec(
                n=1000, prevalence=(None, 0.123456789), ratio=0.5, reliability=(1, 0.9), top="my pictures", labels="stock", seed=-1
            ),  # type: ignore[arg-type]
            train=TrainSpec(model="mlp", lr=1e-7, weight_decay=0.1, optimizer="adam", batch=7, probe_seed=2),  # type: ignore[arg-type]
            seed=12,
        ),
    ],
)
def test_the_command_to_reproduce_makes_the_same_run(spec: RunSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    """Parsed by the command line itself, the words give a run of the same id."""
    words = shlex.split(report_tables.command(spec, "my results"))
    assert words[:2] == ["dominoes", "train"]
    seen: list[RunSpec] = []

    def instead(specs: list[RunSpec], setting: WorkerSetting, *_: object, **__: object) -> list[object]:
        seen.extend(specs)
        assert setting.out == Path("my results").resolve()
        return []

    monkeypatch.setattr(train, "runs", instead)
    done = CliRunner().invoke(commands.main, words[1:], catch_exceptions=False)
    assert done.exit_code == 0, done.stderr
    assert [each.id for each in seen] == [spec.id]


def test_runs_that_went_wrong_are_in_the_table(swept: Path, tmp_path: Path) -> None:
    """Failed runs stand beside finished ones with their reason; versions, digests and commands are there."""
    shutil.copytree(swept, tmp_path, dirs_exist_ok=True)
    folder = run_folders.finished(tmp_path)[0]
    (folder / "DONE").unlink()
    (folder / "FAILED").write_text("the disk <b>was</b> full\n", encoding="utf-8")
    table = report_tables.runs_table(results.gather([tmp_path]))
    assert len(table.rows) == 12
    texts = {row[0].text: [cell.text for cell in row] for row in table.rows}
    assert {"failed", "the disk <b>was</b> full"} <= set(texts[folder.name])
    details = dict(next(row[0].details for row in table.rows if row[0].text != folder.name))
    assert {"package", "torch", "device", "SHA-256 deal", "again"} <= set(details)
    assert "11 finished, 1 failed" in table.caption
    assert len(pd.read_csv(pd.io.common.StringIO(table.csv))) == 12


def test_counts_that_differ_are_not_shown(found: Results) -> None:
    """If the solver now gives other counts than the runs were trained on, the diagram is left out and it is said."""
    first = found.runs[0]
    changed = {**first.environment, "dominoes": {**first.environment["dominoes"], "kinds": {"top": 1, "bottom": 1, "both": 1, "empty": 1}}}
    altered = dataclasses.replace(found, runs=(dataclasses.replace(first, environment=changed), *found.runs[3:]))
    solved, notes = sections.compositions(altered)
    assert len(solved) == 3
    assert "trained on other counts" in notes[0]


def test_missing_pictures_are_said(found: Results) -> None:
    """A source that is not at hand costs the preview and, where its stock is not known, the diagram; nothing else."""
    first = found.runs[0]
    assert first.spec is not None
    gone = first.spec.model_copy(update={"dataset": first.spec.dataset.model_copy(update={"top": "gone/pictures"})})
    altered = dataclasses.replace(found, runs=(dataclasses.replace(first, spec=gone), *found.runs[3:]))
    parts = {section.name: section for section in sections.sections(altered)}
    assert any("there is no source gone/pictures" in note for note in parts["pictures"].notes)
    assert any("there is no source gone/pictures" in note for note in parts["dealt"].notes)
    assert parts["pictures"].images
    assert parts["dealt"].charts


def test_wrong_suffixes_are_refused(found: Results, tmp_path: Path, small: Dealt) -> None:
    """Before anything is drawn, and nothing is left behind."""
    with pytest.raises(OutputError, match=r"the report is written as .html, got '.pdf'"):
        page_file.write_page(found, tmp_path / "x.pdf")
    with pytest.raises(OutputError, match=r"a diagram is written as .html, .png, .svg, .pdf, got '.jpg'"):
        page_file.write_flows(small.composition, tmp_path / "x.jpg")
    assert list(tmp_path.iterdir()) == []


def test_stills_are_every_chart_and_choice(found: Results, tmp_path: Path) -> None:
    """One file for each choice of each chart, the preview as PNG."""
    parts = [section for section in sections.sections(found) if section.name in ("pictures", "sweep")]
    written = page_file.write_stills(parts, tmp_path, "svg")
    assert {path.name for path in written} == {"sweep-prevalence_top.svg", "competition.svg", "preview.png"}
    assert all(path.stat().st_size > 1000 for path in written)


@pytest.mark.slow
def test_a_hundred_runs_fit_into_a_mail(tmp_path: Path) -> None:
    """A sweep of 110 runs of 61 steps and all nine curves: at most 8 MB, every number in it."""
    synthetic_runs.write(synthetic_runs.sweep([0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9], 10), tmp_path)
    done = CliRunner().invoke(commands.main, ["report", str(tmp_path), "--out", str(tmp_path / "r.html")], catch_exceptions=False)
    assert "of 110 runs" in done.stdout
    assert (tmp_path / "r.html").stat().st_size < 8e6
    found = results.gather([tmp_path])
    assert found.curves.groupby("run").size().eq(61 * 9).all()


def test_shared_stock_and_small_datasets_have_a_diagram(tmp_path: Path) -> None:
    """One source on both sides is one node; a dataset of empties alone has its one flow."""
    spec = DominoSpec(n=12, prevalence=(0, 0), top="a", bottom="a")
    found: Composition = solve(spec, Stock((3, 3), (3, 3)))
    page_file.write_flows(found, tmp_path / "e.svg")
    spec = DominoSpec(n=4, prevalence=(0.5, 0.5), top="a", bottom="a", reuse=2)
    page_file.write_flows(solve(spec, Stock((3, 3), (3, 3))), tmp_path / "s.svg")
    assert len(list(tmp_path.iterdir())) == 2


def test_packed_text_comes_back() -> None:
    """Gzip and base64, the same bytes each time, with nothing in it that could end a script."""
    import base64
    import gzip

    text = json.dumps({"</script>": "é" * 1000, "numbers": np.arange(5).tolist()})
    packed = page_file.compressed_text(text)
    assert gzip.decompress(base64.b64decode(packed)).decode() == text
    assert packed == page_file.compressed_text(text)
    assert re.fullmatch(r"[A-Za-z0-9+/=]+", packed)
