"""The site in headless Chromium, from files: used by mouse and keyboard, at two widths and themes.

Needs Debian's chromium and chromium-driver, or the same under their usual names.
"""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.report.site.site_material import HOSTILE, make_site

webdriver = pytest.importorskip("selenium.webdriver", reason="needs selenium (.[test])")
Keys = pytest.importorskip("selenium.webdriver.common.keys").Keys
Wait = pytest.importorskip("selenium.webdriver.support.wait").WebDriverWait

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
WIDE, PHONE = (1280, 900), (390, 844)
PATIENCE = 20  # seconds until what a page must show is drawn
PAGES = ("index.html", "cohorts.html", "ledger.html", "about.html")
AA = 4.5  # WCAG 2.2, contrast of normal text

CONTRAST = """
const rgb = (text) => text.match(/[\\d.]+/g).map(Number);
const light = ([r, g, b]) => [r, g, b]
  .map((v) => v / 255).map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
  .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
const behind = (element) => {
  for (let at = element; at; at = at.parentElement) {
    const colour = rgb(getComputedStyle(at).backgroundColor);
    if (colour.length === 3 || colour[3] === 1) return colour;
  }
  return [255, 255, 255];
};
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
let worst = [21, ""];
let seen = 0;
while (walker.nextNode()) {
  const element = walker.currentNode.parentElement;
  if (!walker.currentNode.data.trim() || !element.checkVisibility()) continue;
  const both = [light(rgb(getComputedStyle(element).color)), light(behind(element))].sort();
  const ratio = (Math.max(...both) + 0.05) / (Math.min(...both) + 0.05);
  seen += 1;
  if (ratio < worst[0]) worst = [ratio, element.outerHTML.slice(0, 200)];
}
return [...worst, seen];
"""


def binaries() -> tuple[str, str]:
    """Browser and driver; skips where there is none."""
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    driver = shutil.which("chromedriver")
    if browser is None or driver is None:
        pytest.skip("no Chromium here: install chromium and chromium-driver to use the site in it")
    return browser, driver


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    path, driver = binaries()
    options = webdriver.ChromeOptions()
    options.binary_location = path
    # no sandbox: a container's root has none, and the only pages are our own files
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    opened = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    yield opened
    opened.quit()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    binaries()
    return make_site(tmp_path_factory.mktemp("work"), tmp_path_factory.mktemp("site"))


Open = Callable[..., Any]


@pytest.fixture
def open_page(browser: Any, site: Path) -> Iterator[Open]:
    """Opens a page anew at a size and in a theme; what went wrong in the browser fails the test."""

    def opened(
        page: str = "index.html", size: tuple[int, int] = WIDE, theme: str = "light", **more: bool
    ) -> Any:
        width, height = size
        screen = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": size == PHONE}
        media = {"features": [{"name": "prefers-color-scheme", "value": theme}]}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
        off = {"value": not more.get("scripts", True)}
        browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", off)
        browser.get("about:blank")
        browser.get((site / page).as_uri())
        # a page may be loaded and not yet drawn: until then no element has a text
        Wait(browser, PATIENCE).until(lambda shown: first(shown, "body").text.strip())
        return browser

    yield opened
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
    browser.execute_script("try { localStorage.clear() } catch {}")
    assert [entry["message"] for entry in browser.get_log("browser")] == []


def first(page: Any, selector: str) -> Any:
    return page.find_element("css selector", selector)


def texts(page: Any, selector: str) -> list[str]:
    return [each.text for each in page.find_elements("css selector", selector)]


def methods(page: Any, regime: str = "none") -> list[str]:
    """Methods of the simulated board under a regime, top down, those that are shown."""
    rows = page.find_elements("css selector", f".simulated [data-regime='{regime}'] tr.row")
    return [first(row, "button.open").text for row in rows if row.is_displayed()]


def head(page: Any, name: str) -> Any:
    """Button of a column of the simulated board."""
    buttons = page.find_elements("css selector", ".simulated thead button")
    return next(button for button in buttons if button.text.strip() == name)


def column(page: Any, name: str, regime: str = "none") -> list[str]:
    """Cells of a column of the simulated board."""
    script = """
      const head = [...document.querySelectorAll(".simulated thead th")]
        .find((each) => each.textContent.trim() === arguments[0]);
      return [...document.querySelectorAll(
        `.simulated [data-regime='${arguments[1]}'] tr.row`
      )].map((row) => row.cells[head.cellIndex].textContent.trim());
    """
    return list(page.execute_script(script, name, regime))


def test_a_column_sorts_by_number_with_controls_on_top(open_page: Open) -> None:
    page = open_page()
    before = methods(page)
    button = head(page, "Uno C")
    for direction, reverse in (("descending", True), ("ascending", False)):
        button.click()
        assert button.find_element("xpath", "..").get_attribute("aria-sort") == direction
        rest = [float(text) for text in column(page, "Uno C")[1:]]
        assert methods(page)[0] == "clinical"
        assert rest == sorted(rest, reverse=reverse)
        assert len(set(rest)) > 2
        assert f"sorted by Uno C, {direction}" in first(page, "#said").get_attribute("textContent")
    button.click()
    assert methods(page) == before
    assert page.find_elements("css selector", "[aria-sort]") == []


def test_rows_without_a_number_come_last_both_ways(open_page: Open) -> None:
    page = open_page()
    button = head(page, "C-index")
    for _ in range(2):
        button.click()
        assert methods(page, "P")[-1] == "snn"
        assert column(page, "C-index", "P")[-1] == "-"


def test_names_sort_by_letter_within_what_is_missing(open_page: Open) -> None:
    page = open_page()
    head(page, "method").click()
    assert methods(page) == ["clinical", HOSTILE, "abmil lr=0.01", "must", "snn"]
    assert methods(page, "P") == [HOSTILE, "abmil lr=0.01", "must", "snn"]


def test_text_and_regime_filter_rows_and_say_how_many_are_left(open_page: Open) -> None:
    page = open_page()
    assert first(page, "#count").text == "11 of 11 rows"
    first(page, "#find").send_keys("MUST")
    assert (methods(page), methods(page, "P")) == (["must"], ["must"])
    assert not first(page, "section.measured").is_displayed()
    first(page, "#by-regime option:nth-child(3)").click()
    assert (methods(page), methods(page, "P")) == ([], ["must"])
    assert first(page, "#count").text == "1 of 11 rows"
    assert first(page, "#said").get_attribute("textContent") == "1 of 11 rows"
    first(page, "#clear").click()
    assert first(page, "#count").text == "11 of 11 rows"
    assert page.switch_to.active_element == first(page, "#find")


def test_presets_and_cohorts_filter_boards(open_page: Open) -> None:
    page = open_page()
    for select in ("#by-preset", "#by-cohort"):
        options = page.find_elements("css selector", f"{select} option")
        (other,) = [each for each in options if each.text in ("standard", "real")]
        other.click()
        assert methods(page) == []
        assert first(page, "section.measured").is_displayed()
        assert first(page, "#count").text == "2 of 11 rows"
        first(page, "#clear").click()


def test_a_row_opens_below_itself_and_closes(open_page: Open) -> None:
    page = open_page()
    button = first(page, ".simulated [data-regime='P'] button.open")
    article = page.find_element("id", button.get_attribute("aria-controls"))
    assert not article.is_displayed()
    button.click()
    assert button.get_attribute("aria-expanded") == "true"
    assert article.is_displayed()
    assert "Model 9000" in article.text
    assert (
        button.find_element("xpath", "ancestor::tr/following-sibling::tr[1]").text in article.text
    )
    plots = article.find_elements("css selector", "img")
    loaded = "return arguments[0].complete && arguments[0].naturalWidth > 0"
    from selenium.webdriver.support.wait import WebDriverWait

    WebDriverWait(page, 10).until(
        lambda _: all(page.execute_script(loaded, plot) for plot in plots)
    )
    assert len(plots) == 2
    button.click()
    assert button.get_attribute("aria-expanded") == "false"
    assert not article.is_displayed()


def test_an_open_row_stays_with_its_row_when_sorted_and_filtered(open_page: Open) -> None:
    page = open_page()
    button = next(
        b for b in page.find_elements("css selector", ".simulated button.open") if b.text == "must"
    )
    button.click()
    article = page.find_element("id", button.get_attribute("aria-controls"))
    for _ in range(2):
        head(page, "method").click()
        above = article.find_element("xpath", "ancestor::tr[1]/preceding-sibling::tr[1]")
        assert first(above, "button.open").text == "must"
    first(page, "#find").send_keys("abmil")
    assert not article.is_displayed()


def test_an_address_opens_its_row(open_page: Open, site: Path) -> None:
    page = open_page()
    name = first(page, "article.details").get_attribute("id")
    page.get("about:blank")
    page.get(f"{(site / 'index.html').as_uri()}#{name}")
    assert page.find_element("id", name).is_displayed()


def test_everything_can_be_done_with_the_keyboard(open_page: Open) -> None:
    from selenium.webdriver import ActionChains

    page = open_page()

    def press(key: str) -> Any:
        ActionChains(page).send_keys(key).perform()
        return page.switch_to.active_element

    skip = press(Keys.TAB)
    assert skip.text == "Skip to the content"
    assert skip.rect["x"] >= 0
    assert press(Keys.ENTER).get_attribute("id") == "main"
    reached = set()
    for _ in range(60):
        at = press(Keys.TAB)
        outline = at.value_of_css_property("outline-style")
        assert outline != "none", at.get_attribute("outerHTML")[:200]
        reached.add(at.get_attribute("id") or at.text.strip())
        if at.text.strip() == "C-index":
            press(Keys.SPACE)
            assert at.find_element("xpath", "..").get_attribute("aria-sort") == "descending"
        if at.get_attribute("class") == "open":
            break
    assert {"find", "by-regime", "clear", "method", "C-index"} <= reached
    assert press(Keys.ENTER).get_attribute("aria-expanded") == "true"
    inside = next(
        each for each in (press(Keys.TAB) for _ in range(3)) if each.tag_name == "summary"
    )
    assert inside.text.startswith(("Config", "Every fit"))
    assert press(Keys.ESCAPE) == at
    assert at.get_attribute("aria-expanded") == "false"


def test_the_theme_follows_the_system_until_it_is_chosen(open_page: Open) -> None:
    background = "return getComputedStyle(document.body).backgroundColor"
    light = open_page(theme="light").execute_script(background)
    page = open_page(theme="dark")
    dark = page.execute_script(background)
    assert light != dark
    assert first(page, "#theme").text == "Light theme"
    first(page, "#theme").click()
    assert page.execute_script(background) == light
    assert first(page, "#theme").text == "Dark theme"
    page = open_page("about.html", theme="dark")
    assert page.execute_script(background) == light  # remembered on the next page


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("page", PAGES)
def test_text_stands_out_as_wcag_asks(open_page: Open, page: str, theme: str) -> None:
    opened = open_page(page, theme=theme)
    opened.execute_script("document.querySelector('button.open')?.click()")
    ratio, where, seen = opened.execute_script(CONTRAST)
    assert ratio >= AA, where
    assert seen > 20


@pytest.mark.parametrize("size", [WIDE, PHONE])
@pytest.mark.parametrize("page", PAGES)
def test_no_page_is_wider_than_its_screen(
    open_page: Open, page: str, size: tuple[int, int]
) -> None:
    opened = open_page(page, size)
    opened.execute_script("document.querySelectorAll('details').forEach((d) => { d.open = true })")
    opened.execute_script("document.querySelectorAll('button.open').forEach((b) => b.click())")
    width = "return [document.documentElement.scrollWidth, window.innerWidth]"
    content, window = opened.execute_script(width)
    assert window == size[0]
    assert content <= window


def test_a_wide_table_scrolls_inside_while_the_names_stay(open_page: Open) -> None:
    page = open_page(size=PHONE)
    scroll = first(page, ".simulated .scroll")
    inner, outer = page.execute_script(
        "const [it] = arguments; it.scrollLeft = 300; return [it.scrollWidth, it.clientWidth]",
        scroll,
    )
    assert inner > outer
    name = first(page, ".simulated tr.row th[scope=row]")
    assert page.execute_script("return arguments[0].getBoundingClientRect().left", name) >= 0


def test_a_method_called_script_is_text(open_page: Open) -> None:
    for name in ("index.html", "ledger.html"):
        page = open_page(name)
        assert page.execute_script("return document.scripts.length") == 1
        assert HOSTILE in texts(page, "tr.row button.open, tr.row td, tr.row th")
        assert page.execute_script("return document.querySelectorAll('[onfocus]').length") == 0
        assert page.title  # an open alert would raise here


def schemes_asked(browser: Any) -> set[str]:
    """Schemes of what was asked for since the log was last read."""
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    return {
        message["params"]["request"]["url"].partition(":")[0]
        for message in messages
        if message["method"] == "Network.requestWillBeSent"
    }


def test_the_pages_ask_nothing_of_the_network(open_page: Open, browser: Any) -> None:
    browser.get_log("performance")  # drop what other tests left
    for name in PAGES:
        page = open_page(name)
        page.execute_script("document.querySelector('button.open')?.click()")
    asked = schemes_asked(browser)
    assert "file" in asked
    assert asked <= {"file", "data", "about"}


def test_without_scripts_tables_and_details_are_there(open_page: Open, site: Path) -> None:
    page = open_page(scripts=False)
    assert not first(page, "#filters").is_displayed()
    assert not first(page, "#theme").is_displayed()
    link = first(page, ".simulated a.open")
    assert link.is_displayed()
    link.click()
    details = page.find_element("id", link.get_attribute("href").partition("#")[2])
    assert details.is_displayed()  # an address inside a closed <details> opens it
    assert "Model 9000" in details.text


def test_what_screen_readers_need_is_named(open_page: Open) -> None:
    page = open_page()
    tree = page.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
    roles = {(n["role"]["value"], n.get("name", {}).get("value", "").strip()) for n in tree}
    for role, name in (
        ("navigation", "Pages"),
        ("searchbox", "Find"),
        ("combobox", "Missing"),
        ("columnheader", "C-index"),
        ("rowheader", "abmil lr=0.01 changed config"),
        ("main", ""),
    ):
        assert (role, name) in roles, (role, name)
    tables = {name for role, name in roles if role == "table"}
    assert any(name.startswith("toy (simulated): paired patients") for name in tables)
