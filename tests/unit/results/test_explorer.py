"""The explorer of a report, in chromium: what is chosen is counted as the run counts it, and every text is text."""

import csv
import io
import shutil
from urllib.parse import unquote

import numpy as np
import pytest
from made_up_runs import made_up_run

from tokcom_phy.experiments.loading import load_experiment
from tokcom_phy.results.explorer import explorer_data
from tokcom_phy.results.intervals import over_questions_and_seeds, paired
from tokcom_phy.results.report import write_report

playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install 'tokcom-phy[test]'")
CHROMIUM = shutil.which("chromium")

HOSTILE = "<img src=x onerror=\"document.title='run'\"></script><script>document.title='run'</script>"
EVALUATED = "[{variants: [aligned, unaligned, blind], links: [awgn, ofdm-tdl-c], snr_db: [-10, 0, 10]}]"


@pytest.fixture(scope="module", params=[1, 3], ids=["one seed", "three seeds"])
def run(request, tmp_path_factory):
    seeds = list(range(request.param))
    experiment = load_experiment("quickstart", overrides=[f"evaluate={EVALUATED}", f"seeds={seeds}"])
    folder = tmp_path_factory.mktemp("runs") / "small"
    return made_up_run(folder, experiment.model_copy(update={"title": HOSTILE}))


@pytest.fixture(scope="module")
def page(run, tmp_path_factory):
    if CHROMIUM is None:
        pytest.skip("needs Debian's chromium")
    target = write_report([run.path], tmp_path_factory.mktemp("page") / "page.html")
    assert target.stat().st_size < 4_000_000
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        opened = browser.new_context(offline=True).new_page()
        opened.said = []
        opened.on("console", lambda message: opened.said.append(message.text))
        opened.on("pageerror", lambda error: opened.said.append(str(error)))
        opened.goto(target.as_uri())
        opened.wait_for_selector("[data-part=chart] svg", timeout=120_000)
        yield opened
        browser.close()


def shown(page):
    text = page.evaluate("window.explorers[0].csv()")
    return list(csv.DictReader(io.StringIO(text)))


def choose(page, part, names):
    for label in page.query_selector_all(f"[data-part={part}] label"):
        label.query_selector("input").set_checked(label.inner_text().strip() in names)


def marks(run, variant, link, snr_db, kinds=None):
    points = run.points
    found = points[(points["variant"] == variant) & (points["link"] == link) & (points["snr_db"] == snr_db)]
    among = run.questions["type"].isin(kinds or set(run.questions["type"])).to_numpy()
    return np.stack(found.sort_values("seed")["correct"].to_list())[:, among]


def test_it_begins_with_the_accuracy_of_the_run(page, run):
    choose(page, "variants", ["aligned", "unaligned", "blind", "majority"])
    choose(page, "links", ["awgn", "ofdm-tdl-c"])
    page.select_option("[data-part=reference]", "")
    rows = shown(page)
    assert len(rows) == 4 * 2 * 3
    for row in rows:
        expected = over_questions_and_seeds(marks(run, row["variant"], row["link"], float(row["snr"])))
        found = [float(row[key]) / 100 for key in ("value", "low", "high")]
        assert found == pytest.approx(expected, abs=1e-6)


def test_differences_and_kinds_are_counted_as_the_run_counts_them(page, run):
    choose(page, "variants", ["unaligned", "aligned"])
    choose(page, "links", ["awgn"])
    choose(page, "kinds", ["Audio/Counting"])
    page.select_option("[data-part=reference]", label="aligned, over the same link")
    page.select_option("[data-part=from]", "0")
    rows = shown(page)
    assert [(row["variant"], float(row["snr"])) for row in rows] == [("unaligned", 0), ("unaligned", 10)]
    for row in rows:
        both = [marks(run, name, "awgn", float(row["snr"]), ["Audio/Counting"]) for name in ("unaligned", "aligned")]
        found = [float(row[key]) / 100 for key in ("value", "low", "high")]
        assert found == pytest.approx(paired(*both), abs=1e-6)
    assert page.inner_text("[data-part=numbers] tbody th") == "unaligned"
    choose(page, "kinds", set(run.questions["type"]))
    page.select_option("[data-part=from]", "-10")
    page.select_option("[data-part=reference]", "")


def test_a_value_stands_under_the_pointer(page):
    choose(page, "variants", ["aligned"])
    choose(page, "links", ["awgn"])
    page.wait_for_timeout(500)
    page.locator("[data-part=chart] path[aria-roledescription='point']").first.hover(force=True)
    page.wait_for_selector("#vg-tooltip-element.visible", timeout=20_000)
    text = page.inner_text("#vg-tooltip-element")
    assert "95 % interval" in text
    assert "aligned" in text


def test_single_questions_are_opened(page, run):
    page.fill("[data-part=number]", "2")
    asked = run.questions.iloc[1]
    text = page.inner_text("[data-part=answers]")
    assert asked["question"] in text
    assert asked["type"] in text
    page.click("[data-part=next]")
    assert page.input_value("[data-part=number]") == "3"
    page.fill("[data-part=number]", "1000")
    assert "There are questions 1 to 60" in page.inner_text("[data-part=answers]")
    page.fill("[data-part=number]", "1")


def test_the_numbers_are_taken_as_csv(page):
    with page.expect_download() as download:
        page.click("[data-part=csv]")
    assert download.value.suggested_filename == "shown.csv"
    assert unquote(download.value.url.partition(",")[2]).startswith("variant,link,than,snr,value,low,high,n,seeds\n")


def test_controls_are_reached_by_the_keyboard(page):
    page.focus("[data-part=variants] input")
    before = page.is_checked("[data-part=variants] input")
    page.keyboard.press("Space")
    assert page.is_checked("[data-part=variants] input") != before
    page.keyboard.press("Space")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.type") == "checkbox"


def test_nothing_chosen_is_said(page):
    choose(page, "variants", [])
    assert "Nothing is chosen" in page.inner_text("[data-part=said]")
    choose(page, "variants", ["aligned"])


@pytest.mark.parametrize("width", [390, 1280])
def test_it_fits_the_window(page, width):
    page.set_viewport_size({"width": width, "height": 800})
    page.evaluate("window.explorers[0].update()")
    page.wait_for_timeout(300)
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_titles_are_text_and_nothing_was_on_the_console(page):
    assert page.inner_text("h1") == HOSTILE
    assert page.title().startswith("<img")
    assert page.said == []


def test_a_run_of_too_many_marks_has_no_explorer(run, monkeypatch):
    monkeypatch.setattr("tokcom_phy.results.explorer.MAX_MARKS", 10)
    assert explorer_data(run) == ""


def test_of_a_long_run_the_first_questions_are_held(run, monkeypatch):
    monkeypatch.setattr("tokcom_phy.results.explorer.MAX_ANSWERS", 5 * len(run.points))
    assert explorer_data(run).count('"Why?"') == 5
