"""The pages in a real browser, offline: by keyboard, by mouse, on a phone, in print."""

import shutil
import sys
from pathlib import Path

import pytest
import xarray as xr

sys.path.insert(0, str(Path(__file__).parent))

from made_up import made_up_sweep, write_sweep

from flossing.reports import write_report

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

_NAMES = ("chromium", "chromium-browser", "google-chrome")
_BROWSER = next((path for name in _NAMES if (path := shutil.which(name))), None)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(_BROWSER is None, reason=f"none of {', '.join(_NAMES)} is installed"),
]


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=_BROWSER, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser):
    """Opens a page offline; afterwards, checks that nothing went wrong and nothing was fetched."""
    troubles, fetched, contexts = [], [], []

    def open_it(path, width=1200, height=900, scheme="light"):
        view = {"width": width, "height": height}
        context = browser.new_context(viewport=view, color_scheme=scheme, offline=True)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: troubles.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.on("request", lambda request: fetched.append(request.url))
        page.goto(path.resolve().as_uri())
        page.wait_for_selector("html[data-ready]", state="attached", timeout=30_000)
        return page

    yield open_it
    for context in contexts:
        context.close()
    assert troubles == []
    assert [url for url in fetched if not url.startswith(("file:", "data:", "blob:"))] == []


@pytest.fixture(scope="module")
def run_page(trained, tmp_path_factory):
    directory = shutil.copytree(trained, tmp_path_factory.mktemp("page") / "run")
    return write_report(directory, figures=False)


@pytest.fixture(scope="module")
def sweep_page(tmp_path_factory):
    fields = {
        "task.delay": [10, 20, 40],
        "cell.gain": [0.5, 1.0],
        "schedule": ["none", "phases"],
    }
    directory = write_sweep(tmp_path_factory.mktemp("page") / "sweep", made_up_sweep(fields))
    return write_report(directory, figures=False)


def spectrum(page):
    """The values that the thick line shows."""
    return page.evaluate("""() => {
        const traces = document.getElementById("spectrum").data;
        return Array.from(traces.filter((t) => (t.hovertemplate || "").startsWith("median"))[0].y);
    }""")


def test_the_slider_by_keyboard_and_by_click(open_page, run_page):
    data = xr.load_dataset(run_page.parent / "metrics.nc", engine="h5netcdf")
    medians = data["exponents"].median("realisation").values
    page = open_page(run_page)
    slider, output = page.get_by_label("Measurement"), page.locator("#moment-text")
    last = len(medians) - 1
    assert "epoch 20, end: median λ₁" in output.inner_text()
    assert spectrum(page) == pytest.approx(medians[last].tolist(), rel=1e-3)

    slider.focus()
    page.keyboard.press("ArrowLeft")
    assert slider.input_value() == str(last - 1)
    assert (
        f"epoch {int(data['measurement_epoch'][last - 1])}, during training" in output.inner_text()
    )
    assert spectrum(page) == pytest.approx(medians[last - 1].tolist(), rel=1e-3)
    page.keyboard.press("Home")
    assert "epoch 0, start" in output.inner_text()
    assert f"{medians[0, 0]:+.3f}" in output.inner_text()
    assert "epoch 0, start" in slider.get_attribute("aria-valuetext")

    box = slider.bounding_box()
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    middle = int(slider.input_value())
    assert 0 < middle < last
    assert f"{medians[middle, 0]:+.3f}" in output.inner_text()
    assert spectrum(page) == pytest.approx(medians[middle].tolist(), rel=1e-3)
    lines = page.evaluate("document.getElementById('metric').layout.shapes.map((s) => s.x0)")
    assert int(data["measurement_epoch"][middle]) in lines


def test_a_network_can_be_highlighted(open_page, run_page):
    page = open_page(run_page)
    widths = "document.getElementById('loss').data.map((t) => t.line.width)"
    assert page.evaluate(widths).count(2.5) == 0
    page.locator("#network").select_option("network 2")
    assert page.evaluate(widths).count(2.5) == 1
    page.locator("#part").select_option("the leading quarter")
    assert page.evaluate("document.getElementById('spectrum').layout.xaxis.range") == [0.5, 2.5]


def test_hovering_shows_a_value(open_page, run_page):
    page = open_page(run_page)
    chart = page.locator("#metric .nsewdrag")
    chart.scroll_into_view_if_needed()
    box = chart.bounding_box()
    for share in range(2, 19):
        page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] * share / 20)
        page.wait_for_timeout(60)
        if page.locator("#metric .hovertext").count():
            break
    assert "epoch" in page.locator("#metric .hovertext").first.text_content()


def test_everything_is_reached_by_keyboard(open_page, run_page):
    page = open_page(run_page)
    reached = []
    for _ in range(40):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.id || document.activeElement.tagName"))
    assert reached[0] == "A"
    assert {"network", "moment", "part", "SUMMARY"} <= set(reached)
    page.get_by_text("Settings as YAML").focus()
    page.keyboard.press("Enter")
    assert page.get_by_text("name: copy").is_visible()
    page.locator("#network").focus()
    outline = "getComputedStyle(document.activeElement).outlineStyle"
    page.keyboard.press("ArrowDown")
    assert page.evaluate(outline) == "solid"


def test_selects_of_a_sweep(open_page, sweep_page):
    page = open_page(sweep_page)
    title = "document.getElementById('results').layout.{}axis.title.text"
    assert page.evaluate(title.format("y")) == "held-out accuracy (%)"
    assert page.evaluate(title.format("x")) == "task.delay"
    page.locator("#metric").select_option("epochs to 95 %")
    assert page.evaluate(title.format("y")) == "epochs to 95 %"
    hover = page.evaluate("document.getElementById('results').data.flatMap((t) => t.text || [])")
    assert any("network 3" in text for text in hover)
    assert any("never" in text for text in hover)
    page.locator("#field").select_option("schedule")
    assert page.evaluate(title.format("x")) == "schedule"
    page.locator("#field-controls-colour").select_option("cell.gain")
    page.locator("#field-controls-0").select_option("40")
    names = page.evaluate("document.getElementById('results').data.map((t) => t.name || '')")
    assert {"cell.gain = 0.5", "cell.gain = 1"} <= set(names)

    page.locator("#curve").select_option("gradient norm")
    assert "gradient" in page.evaluate("document.getElementById('curves').layout.yaxis.title.text")
    page.locator("#setting").select_option(index=3)
    page.get_by_label("Measurement").focus()
    page.keyboard.press("Home")
    assert page.locator("#moment-text").inner_text().startswith("start: median λ₁ = -0.2")
    page.locator("#setting").select_option(index=11)
    assert "not measured" in page.locator("#moment-text").inner_text()


@pytest.fixture(scope="module")
def shut_page(shut, tmp_path_factory):
    directory = shutil.copytree(shut, tmp_path_factory.mktemp("page") / "shut")
    return write_report(directory, figures=False)


def test_the_diagnosis_is_what_one_sees_first_on_a_phone(open_page, shut_page):
    page = open_page(shut_page, width=390, height=844)
    verdict = page.locator(".verdict")
    assert "0 of 2 networks learned" in verdict.inner_text()
    assert verdict.bounding_box()["y"] + verdict.bounding_box()["height"] < 844
    code = page.locator(".finding pre").first
    assert not code.is_visible()
    page.locator(".finding summary").first.click()
    assert code.is_visible()
    page.evaluate("document.querySelectorAll('details').forEach((d) => { d.open = true; })")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


LUMINANCE = """(colour) => {
    const parts = colour.match(/[0-9.]+/g).map((x) => Number(x) / 255).slice(0, 3);
    const linear = parts.map((x) => (x <= 0.04045 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4));
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
}"""


def assert_text_stands_out(page, scheme):
    """Contrast of at least 4.5, as WCAG 2 asks for text."""
    style = "(e, name) => getComputedStyle(e).getPropertyValue(name)"
    paper = page.locator("html").evaluate(style, "background-color")
    behind = page.evaluate(LUMINANCE, paper)
    assert (behind < 0.05) == (scheme == "dark")
    for part in (".verdict", ".diagnosis h2", ".severity", ".finding .soft", ".subtitle", "a", "p"):
        for element in page.locator(part).all():
            ink = page.evaluate(LUMINANCE, element.evaluate(style, "color"))
            light, dark = max(ink, behind), min(ink, behind)
            assert (light + 0.05) / (dark + 0.05) >= 4.5, part


def test_text_and_charts_follow_the_page_from_light_to_dark_and_back_on_paper(open_page, shut_page):
    """And text stands out from both."""
    page = open_page(shut_page, scheme="light")
    paper = "document.getElementById('loss').layout.paper_bgcolor"
    assert page.evaluate(paper) == "#fff"
    assert_text_stands_out(page, "light")
    page.emulate_media(color_scheme="dark")
    page.wait_for_function(f"{paper} === '#16181c'")
    assert_text_stands_out(page, "dark")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.evaluate(paper) == "#fff"
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.evaluate(paper) == "#16181c"


@pytest.mark.parametrize("kind", ["run", "sweep"])
def test_a_phone_has_no_sideways_scroll(open_page, run_page, sweep_page, kind):
    page = open_page(run_page if kind == "run" else sweep_page, width=390, height=844)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    widths = page.evaluate("[...document.querySelectorAll('.main-svg')].map((s) => s.clientWidth)")
    assert max(widths) <= 390


def test_print_fits_the_paper(open_page, run_page):
    page = open_page(run_page)
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    page.wait_for_function("document.getElementById('loss').layout.width === 660")
    everything = page.locator("details").count()
    assert page.locator("details[open]").count() == everything > 1
    assert page.pdf(format="A4").startswith(b"%PDF")
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.locator("details[open]").count() == 0
    page.wait_for_function("document.querySelector('#loss .main-svg').clientWidth > 700")


def test_shades_have_gaps_where_values_are_missing(open_page, directory):
    path = directory / "metrics.nc"
    data = xr.load_dataset(path, engine="h5netcdf")
    data["loss"][8:12] = float("nan")
    data.to_netcdf(path, engine="h5netcdf")
    page = open_page(write_report(directory, figures=False))
    shade = page.evaluate("""() => {
        const found = document.getElementById("loss").data.find((t) => t.fill === "toself");
        return Array.from(found.x);
    }""")
    first, second = list(range(8)), list(range(12, 20))
    assert shade == [*first, *first[::-1], None, *second, *second[::-1], None]


def test_an_empty_run(open_page, tmp_path, trained):
    directory = tmp_path / "run"
    directory.mkdir()
    shutil.copy(trained / "config.yaml", directory)
    page = open_page(write_report(directory))
    assert page.get_by_text("Unfinished: 0 of 20").is_visible()
    assert page.locator(".chart").count() == 0
