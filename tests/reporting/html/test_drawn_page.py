"""The page as a browser draws it."""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from browser import had, hovered, opened
from click.testing import CliRunner
from playwright.sync_api import Browser

from dominoes import tables
from dominoes.cli import commands
from dominoes.data.dealing import Dealt
from dominoes.reporting import completion, results, sections
from dominoes.reporting.charts import dealt as dealt_charts
from dominoes.reporting.html import page as page_file
from dominoes.runs import parameters, run_folders
from dominoes.theory.rules import RULES

NAMES = ("<script>window.broken = 1</script>", '</script><img src=x onerror="window.broken = 2">', "a, \"b\" & 'c' $x_{$")


# ---- in the browser -----------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_demos_page_is_drawn(browser: Browser, demo: tuple[Path, str]) -> None:
    """No error, no request, every figure drawn: as many traces as the chart has lines, as many links as the flow has."""
    out, _ = demo
    charts = sections.charts_of(sections.sections(results.gather([out])))
    with opened(browser, out / "report.html") as page:
        counts = {}
        for figure in page.query_selector_all("figure.chart"):
            name = figure.get_attribute("id") or ""
            counts[name] = int(figure.get_attribute("data-traces") or 0)
            marks = ".scatterlayer .trace, .hm image"
            assert len(figure.query_selector_all(marks)) >= counts[name], name
        assert set(counts) == set(charts)
        links, nodes = charts["sankey"].table.groupby(["source", "target"]).ngroups, len(charts["sankey"].parts[0].nodes)  # type: ignore[union-attr]
        # A curve and its fit of each half and metric in which the demo's networks have an onset.
        fits = 2 * charts["fits"].table.groupby(["kind", "metric"]).ngroups  # type: ignore[union-attr]
        assert fits in (6, 8)
        expected = {"sankey": links + nodes, "conflicts": 3, "doubles": 11, "neither": 4, "fits": fits, "confusion": 3, "answers": 5}
        assert {name: counts[name] for name in expected} == expected
        assert counts["curves"] >= 8
        assert page.locator("#preview img").evaluate("image => image.naturalWidth") > 300
        flow = charts["sankey"].table
        first = flow[(flow["source"] == "digits (top)") & (flow["target"] == "top right")]
        texts = page.evaluate("() => document.querySelector('#sankey .plot').data.map(trace => trace.text)")
        place = next(place for place, text in enumerate(texts) if text.startswith("digits (top) → top right"))
        text = hovered(page, "sankey", place, 10, inside=True)
        assert f"{first['count'].sum()} pictures; by class" in text
        assert all(f"{row.label}: {row.count_}" in text for row in first.rename(columns={"count": "count_"}).itertuples())


@pytest.mark.slow
def test_what_is_hovered_is_what_the_csv_says(browser: Browser, page: Path) -> None:
    """The value under the mouse is the number in the CSV of the data link, digit for digit."""
    with opened(browser, page) as shown:
        rows = [row for row in had(shown, "doubles") if row["group"] == "prevalence_top 0.1" and 0 < int(row["step"]) < 1000]
        # Where no rule lies as near to the mouse as what was measured.
        rules = [name for name in RULES if name in rows[0]]
        apart = [min(abs(np.log(float(row[name]) / float(row["measured"]))) for name in rules) for row in rows]
        place = int(np.argmax(apart))
        text = hovered(shown, "doubles", 0, place)
        assert f"step: {rows[place]['step']}" in text
        assert f"error: {rows[place]['measured']}" in text.replace("−", "-")
        rows = [row for row in had(shown, "confusion") if row["group"] == "prevalence_top 0.1"]
        cell = shown.evaluate("() => document.querySelector('#confusion .plot').data[1].text[3][7]")
        (row,) = [row for row in rows if (row["top"], row["bottom"]) == ("3", "7")]
        assert f"<b>{row['answers_bottom']}</b><br>n: {row['n']}" in cell


@pytest.mark.slow
def test_switches_change_the_axes(browser: Browser, page: Path) -> None:
    """Time is logarithmic or not, counted in steps or samples; kinds and values can be chosen; so can a group."""
    layout = """() => {
      const { xaxis, yaxis } = document.querySelector('#curves .plot')._fullLayout;
      return [xaxis.type, xaxis.title.text, yaxis.type];
    }"""
    with opened(browser, page) as shown:
        assert shown.evaluate(layout) == ["log", "training step", "linear"]
        before = int(shown.get_attribute("#curves", "data-traces") or 0)
        shown.uncheck("#curves [data-switch=log]")
        shown.select_option("#curves [data-switch=time]", "of_side")
        shown.check("#curves [data-switch=y_log]")
        shown.uncheck("#curves [data-switch='groups:prevalence_top 0.1']")
        shown.check("#curves [data-switch='kinds:both']")
        shown.evaluate("() => window.dominoes.redrawn()")
        assert shown.evaluate(layout) == ["linear", "dominoes seen with this side shown", "log"]
        shown.select_option("#curves [data-switch=metric]", "loss")
        shown.select_option("#curves [data-switch=by]", "group")
        shown.evaluate("() => window.dominoes.redrawn()")
        assert int(shown.get_attribute("#curves", "data-traces") or 0) != before
        shown.select_option("#fits [data-switch=choice]", "prevalence_top 0.8")
        shown.evaluate("() => window.dominoes.redrawn()")
        rows = [
            row
            for row in had(shown, "fits")
            if row["group"] == "prevalence_top 0.8" and row["kind"] == "top" and row["metric"] == "accuracy"
        ]
        drawn = shown.evaluate("() => [...document.querySelector('#fits .plot').data[0].y]")
        assert drawn == [float(row["measured"]) for row in rows if int(row["step"]) > 0]
        button = shown.locator("#fits .legend button").first
        button.focus()
        shown.keyboard.press("Enter")
        shown.evaluate("() => window.dominoes.redrawn()")
        assert button.get_attribute("aria-pressed") == "false" or shown.locator("#fits .legend button[aria-pressed=false]").count() == 1
        assert shown.evaluate("() => document.querySelector('#fits .plot').data[0].visible") is False


def test_tables_sort_by_mouse_and_keyboard(browser: Browser, page: Path) -> None:
    """Numbers sort as numbers, up and down; a verdict leads to its figure and its group."""
    with opened(browser, page) as shown:
        head = shown.locator("#runs-table th", has_text="accuracy bottom").locator("button")
        place = shown.locator("#runs-table th").all_text_contents().index("accuracy bottom")
        orders = []
        for act in (head.click, lambda: (head.focus(), shown.keyboard.press("Enter"))):
            act()
            cells = shown.locator(f"#runs-table tbody tr td:nth-child({place + 1})")
            orders.append([float(cell.get_attribute("data-value") or "nan") for cell in cells.all()])
        assert orders[0] == sorted(orders[0])
        assert orders[1] == orders[0][::-1]
        link = shown.locator("#verdicts a[data-choice='prevalence_top 0.4'][href='#doubles']").first
        assert not link.is_visible()
        shown.locator("#verdicts summary", has=shown.get_by_text("doubles", exact=True)).click()
        link.click()
        shown.evaluate("() => window.dominoes.redrawn()")
        assert shown.locator("#doubles [data-switch=choice]").input_value() == "prevalence_top 0.4"
        button = shown.locator("#runs-table button.opens").first
        facts = shown.locator("#runs-table tr.facts").first
        assert not facts.is_visible()
        button.click()
        assert "dominoes train" in facts.locator("code").inner_text()
        assert button.text_content() in facts.locator("code").inner_text() or facts.bounding_box()["width"] > 900  # type: ignore[index]
        # Facts stay below their run when the table is sorted, and beside each other, not below.
        head.click()
        assert shown.locator("#runs-table tbody tr").nth(1).get_attribute("class") == "facts"
        tops = {round(box.bounding_box()["y"]) for box in facts.locator("dt").all() if box.is_visible()}  # type: ignore[index]
        assert len(tops) < facts.locator("dt").count()


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_light_and_dark(browser: Browser, page: Path, scheme: str) -> None:
    """The page follows the system, the button turns it over, text stands out from the ground, kinds keep their colours."""
    colours = """() => [getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color,
      document.querySelector('#curves .plot')._fullLayout.font.color, document.querySelector('#conflicts .plot').data[2].line.color]"""
    with opened(browser, page, scheme=scheme) as shown:
        first = shown.evaluate(colours)
        shown.click("#theme")
        shown.evaluate("() => window.dominoes.redrawn()")
        second = shown.evaluate(colours)
    brightness = [sum(map(int, re.findall(r"\d+", ground)[:3])) for ground in (first[0], second[0])]
    assert (brightness[0] < brightness[1]) == (scheme == "dark")
    assert first[2] != second[2]
    assert first[3] == second[3]
    for ground, ink, *_ in (first, second):
        assert abs(sum(map(int, re.findall(r"\d+", ground)[:3])) - sum(map(int, re.findall(r"\d+", ink)[:3]))) > 380


@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_is_wider_than_the_screen(browser: Browser, page: Path, width: int) -> None:
    """On a phone and on a desktop the page scrolls down only; what is wide scrolls in its own box; no figure is empty."""
    with opened(browser, page, width=width) as shown:
        assert shown.evaluate("() => document.documentElement.scrollWidth") <= width
        for box in shown.query_selector_all("figure .plot"):
            size = box.bounding_box()
            assert size is not None
            assert size["height"] >= 200


def test_figures_are_drawn_without_being_reached(browser: Browser, page: Path) -> None:
    """Nobody scrolls: what is in view is drawn first, the rest when there is time; none waits to be looked at."""
    with opened(browser, page, drawn=False) as shown:
        shown.wait_for_selector("#curves[data-traces]")
        shown.wait_for_function("() => document.querySelectorAll('figure.chart:not([data-traces])').length === 0")
        assert shown.locator("figure.chart").count() > 8
        assert shown.evaluate("() => window.scrollY") == 0


@pytest.mark.slow
def test_print_is_light_whole_and_as_wide_as_paper(browser: Browser, page: Path, tmp_path: Path) -> None:
    """A dark page is printed light, its figures drawn to one width that the paper takes; afterwards it is as it was."""
    with opened(browser, page, scheme="dark") as shown:
        before = shown.evaluate("() => document.querySelector('#curves .plot').clientWidth")
        shown.evaluate("() => { window.dispatchEvent(new Event('beforeprint')); return window.dominoes.redrawn(); }")
        assert shown.evaluate("() => document.documentElement.dataset.theme") == "light"
        widths = shown.evaluate("() => [...document.querySelectorAll('figure.wide .plot')].map(box => box._fullLayout.width)")
        assert max(widths) <= 1000
        assert len(shown.pdf(prefer_css_page_size=True)) > 100_000
        shown.evaluate("() => { window.dispatchEvent(new Event('afterprint')); return window.dominoes.redrawn(); }")
        assert shown.evaluate("() => [document.documentElement.dataset.theme, document.querySelector('#curves .plot').clientWidth]") == [
            "dark",
            before,
        ]


def test_the_page_answers_first(browser: Browser, page: Path) -> None:
    """The setting, five findings and the learning curves come first; verdicts are folded by question, what does not apply last."""
    with opened(browser, page) as shown:
        said = shown.inner_text("header")
        for what in ("digits over textures dominoes", "detector network", "200 epochs", "1,500 n", "3 seeds a spec"):
            assert what in said, what
        assert shown.locator("dl.findings dt").all_text_contents() == [
            "Learned first",
            "Doubles",
            "Conflicts",
            "Competition",
            "Rules compared",
        ]
        assert all(text[0].isupper() and text.endswith(".") for text in shown.locator("dl.findings dd").all_text_contents())
        order = shown.evaluate("() => [...document.querySelectorAll('main > section')].map(each => each.id)")
        assert order[:2] == ["learning", "dealt"]
        assert shown.locator("#verdicts > details[open]").count() == 0
        counts = shown.locator("#verdicts summary").all_text_contents()
        assert sum(
            int(number) for text in counts for number in re.findall(r"(\d+) (?:holds|fails|cannot tell|not applicable)", text)
        ) == len(had(shown, "verdicts-figure"))
        asked = [set(re.findall(r"\d+ (holds|fails|cannot tell|not applicable)", text)) for text in counts]
        applies = [words != {"not applicable"} for words in asked]
        assert applies == sorted(applies, reverse=True)


def test_values_have_one_colour_and_their_names_beside_them(browser: Browser, page: Path) -> None:
    """A value of what is swept has the same colour in every panel and in the legend, and its name stands at the end of its line."""
    with opened(browser, page) as shown:
        colours = shown.evaluate(
            """() => Object.entries(Object.groupBy(
              document.querySelector('#curves .plot').data.filter(trace => trace.mode === 'lines' && trace.line.width), trace => trace.meta
            )).map(([name, traces]) => [name, [...new Set(traces.map(trace => trace.line.color))]])"""
        )
        legend = shown.evaluate("() => [...document.querySelectorAll('#curves .legend line')].map(line => line.getAttribute('stroke'))")
        assert len(colours) == 4
        assert [found[0] for _, found in colours] == legend
        assert all(len(found) == 1 for _, found in colours)
        named = shown.evaluate("() => document.querySelector('#curves .plot').layout.annotations.map(each => [each.text, each.font.color])")
        assert {(text, colour) for text, colour in named if colour in legend} == set(zip(("0.1", "0.2", "0.4", "0.8"), legend, strict=True))


def test_what_nothing_is_known_of_is_one_line(browser: Browser, swept: Path, tmp_path: Path) -> None:
    """A table of curves alone has no section of pictures, counts or confusion, and one line at the end that says so."""
    parameters.read_runs(swept)[[*tables.CURVES, "prevalence_top"]].to_csv(tmp_path / "curves.csv", index=False)
    page_file.write_page(results.gather([tmp_path]), tmp_path / "r.html")
    with opened(browser, tmp_path / "r.html") as shown:
        assert shown.evaluate("() => [...document.querySelectorAll('main > section')].map(each => each.id)") == [
            "learning", "theory", "sweep", "runs", "missing",
        ]  # fmt: skip
        (line,) = [text for text in shown.locator("#missing p").all_inner_texts() if text.startswith("Left out")]
        assert line.count("(") >= 3
        assert "spec.json" in line
        assert "confusion.npz" in line


def test_names_with_markup_are_shown_and_not_run(browser: Browser, swept: Path, tmp_path: Path) -> None:
    """Swept values and run names that are scripts appear as text, everywhere; nothing in them is executed."""
    table = parameters.read_runs(swept)[list(tables.CURVES)]
    table = table[table["seed"] == 0].copy()
    runs = list(dict.fromkeys(table["run"]))[:3]
    table = table[table["run"].isin(runs)]
    table["what"] = table["run"].map(dict(zip(runs, NAMES, strict=True)))
    table["run"] = table["run"].map(dict(zip(runs, [f"{name} run" for name in NAMES], strict=True)))
    table.to_csv(tmp_path / "curves.csv", index=False)
    found = completion.complete(results.gather([tmp_path / "curves.csv"]))
    page_file.write_page(found, tmp_path / "r.html")
    with opened(browser, tmp_path / "r.html") as shown:
        assert shown.evaluate("() => window.broken === undefined")
        assert set(shown.locator("#doubles option").all_text_contents()) == {f"what {name}" for name in NAMES}
        assert {f"what {name}, test" for name in NAMES} == set(shown.locator("#curves .legend button").all_text_contents())
        assert set(shown.locator("#runs-table tbody td:first-child").all_text_contents()) >= {f"{name} run" for name in NAMES}
        assert shown.locator("img[src=x]").count() == 0


@pytest.mark.slow
@pytest.mark.parametrize("case", ["empty", "half", "one seed", "missing kinds", "NaN", "one step", "damaged"])
def test_incomplete_results_still_have_a_page(browser: Browser, swept: Path, tmp_path: Path, case: str) -> None:
    """Whatever is missing is said, the rest is drawn, and no error is logged."""
    table = parameters.read_runs(swept)[[*tables.CURVES, "prevalence_top"]]
    path = tmp_path / "curves.csv"
    says, figures = {
        "empty": ("there is no finished run", 0),
        "half": ("5 failed", 8),
        "one seed": ("no band and no interval", 8),
        "missing kinds": ("no run was measured on test dominoes of kind bottom", 2),
        "NaN": ("no number there", 7),
        "one step": ("hardly a curve", 3),
        "damaged": ("2 damaged", 8),
    }[case]
    if case in ("half", "damaged"):
        shutil.copytree(swept, tmp_path, dirs_exist_ok=True)
        for folder in run_folders.finished(tmp_path)[: 5 if case == "half" else 2]:
            if case == "half":
                (folder / "DONE").unlink()
                (folder / "FAILED").write_text("no power\n", encoding="utf-8")
            else:
                (folder / "curves.csv").write_text("", encoding="utf-8")
        path = tmp_path
    elif case == "empty":
        path = tmp_path
        (path / "runs" / ("0" * 12)).mkdir(parents=True)
    else:
        table = table[table["seed"] == 0] if case == "one seed" else table
        table = table[table["kind"].isin(["top", "both"])] if case == "missing kinds" else table
        table = table[table["step"] == table["step"].max()] if case == "one step" else table
        if case == "NaN":
            table = table.assign(
                accuracy=table["accuracy"].where(table["kind"] != "both"), loss=table["loss"].where(table["kind"] != "both")
            )
        table.to_csv(path, index=False)
    fit = ["--fit"] if case in ("one seed", "NaN") else []
    done = CliRunner().invoke(commands.main, ["report", str(path), "--out", str(tmp_path / "r.html"), *fit], catch_exceptions=False)
    assert done.exit_code == (3 if case == "damaged" else 0), done.stderr
    with opened(browser, tmp_path / "r.html") as shown:
        assert says in shown.inner_text("body")
        assert shown.locator("figure.chart[data-traces]").count() == shown.locator("figure.chart").count() >= figures


def small_links(small: Dealt) -> int:
    """Flows of its diagram."""
    return dealt_charts.sankey({"": small.composition}).table.groupby(["source", "target"]).ngroups


def test_the_diagram_of_solve_is_a_page_too(browser: Browser, small: Dealt, tmp_path: Path) -> None:
    """`solve --sankey` writes a page with the one figure, or a still."""
    for name in ("s.html", "s.png", "s.svg", "s.pdf"):
        page_file.write_flows(small.composition, tmp_path / name)
        assert (tmp_path / name).stat().st_size > 5000
    with opened(browser, tmp_path / "s.html") as shown:
        assert int(shown.get_attribute("#sankey", "data-traces") or 0) == 13 + small_links(small)
        assert sum(int(row["count"]) for row in had(shown, "sankey") if row["target"] == "empty") == small.composition.kinds["empty"]
