"""The HTML report in a browser, opened from disk."""

import shutil
from io import BytesIO
from pathlib import Path

import pytest
from html_helpers import altered, leave, reference
from PIL import Image

from fsig_bench.report.html.build import write_report
from fsig_bench.report.html.links import run_page

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

NAMES = ("chromium", "google-chrome", "chromium-browser")
BROWSER = next((path for name in NAMES if (path := shutil.which(name))), None)
pytestmark = pytest.mark.skipif(BROWSER is None, reason=f"no browser among {', '.join(NAMES)}")


@pytest.fixture(scope="module")
def browser():
    words = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    with sync_api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=BROWSER, args=words)
        yield opened
        opened.close()


@pytest.fixture
def page(browser):
    """A page on which any error of the console, failed request or trip to a network fails."""
    context = browser.new_context(viewport={"width": 1200, "height": 900})
    page, wrong = context.new_page(), []
    page.on("console", lambda m: wrong.append(m.text) if m.type == "error" else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("requestfailed", lambda request: wrong.append(request.url))
    page.on("request", lambda r: wrong.append(r.url) if r.url.startswith("http") else None)
    yield page
    context.close()
    assert wrong == []


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    results = tmp_path_factory.mktemp("results")
    own = [reference("crdi", seed=s) for s in range(3)]
    own += [reference("gan_inversion"), reference("copy"), reference("crdi", "cats")]
    for level, record in ((40, own[0]), (160, own[3])):
        leave(record, results, level=level)
    other = altered(own[3], protocol_hash="ffffffff", run_id="other")
    return write_report(
        [*own, other], results=results, out=tmp_path_factory.mktemp("out") / "report"
    )


def mean_red(shown):
    """The mean of what the screen shows in the red channel."""
    image = Image.open(BytesIO(shown.screenshot())).convert("RGB")
    return image.resize((1, 1)).getpixel((0, 0))[0]


def column(page, number):
    cells = page.locator(f"#long tbody tr:not([hidden]) > :nth-child({number})")
    return [text.strip() for text in cells.all_text_contents()]


def fd(page):
    return [float(text.split()[0]) for text in column(page, 8)]


def test_sorting_by_mouse_and_keyboard(page, report):
    page.goto(report.as_uri())
    head = page.locator('#long th[data-key="fd"]')
    before = fd(page)
    head.locator("button").click()
    assert head.get_attribute("aria-sort") == "ascending"
    assert fd(page) == sorted(before) and len(before) == 5
    head.locator("button").press("Enter")
    assert head.get_attribute("aria-sort") == "descending"
    assert fd(page) == sorted(before, reverse=True)
    page.locator('#long th[data-key="method"] button').press("Space")
    assert head.get_attribute("aria-sort") is None
    assert column(page, 1) == sorted(column(page, 1), key=str.lower)


def test_filters_and_their_place_in_the_address(page, report):
    page.goto(report.as_uri())
    page.select_option("#f-dataset", "cats")
    assert column(page, 2) == ["cats"]
    page.select_option("#f-dataset", "")
    page.fill("#f-text", "inversion ffffffff")
    assert column(page, 1) == ["GAN inversion"] and "1 of 5" in page.text_content("#count")
    page.locator('#long th[data-key="kid"] button').click()
    kept = page.url
    page.goto("about:blank")
    page.goto(kept)
    assert column(page, 1) == ["GAN inversion"]
    assert page.locator('#long th[data-key="kid"]').get_attribute("aria-sort") == "ascending"
    page.click("#reset")
    assert len(column(page, 1)) == 5
    for typed in ("gan_inversion", "GAN-Inversion", "gan inversion"):
        page.fill("#f-text", typed)
        assert set(column(page, 1)) == {"GAN inversion"}, typed


def test_the_first_view_follows_setting_metric_and_target(page, tmp_path):
    pair = [reference("crdi"), reference("gan_inversion")]
    own = [*pair, *(reference(m, "cats") for m in ("crdi", "gan_inversion", "real"))]
    for level, record in zip((40, 160), pair, strict=True):
        leave(record, tmp_path / "results", level=level)
    report = write_report(own, results=tmp_path / "results", out=tmp_path / "report")
    page.goto(report.as_uri())
    ranks = page.locator(".ranks:visible")
    assert ranks.count() == 1 and "Frechet distance" in ranks.locator("h3").text_content()
    page.select_option("#metric", "copy_rate")
    assert ranks.count() == 1 and "copy rate" in ranks.locator("h3").text_content()
    page.select_option("#place", "babies")
    figures = page.locator(".place:visible .chart")
    assert figures.count() == 4
    strips = page.locator(".strip-block:visible img.strip")
    assert strips.count() == 3  # the shots and two methods whose samples are there
    for picture in strips.all():
        picture.scroll_into_view_if_needed()
        page.wait_for_function("i => i.complete", arg=picture.element_handle())
        assert picture.evaluate("i => i.naturalWidth") > 0
    # A box of the legend hides a method everywhere, and the address remembers it.
    lines = page.locator(".strip-row:visible")
    box = page.locator(".view:visible .keys label", has_text="GAN inversion").locator("input")
    box.uncheck()
    assert lines.count() == 2 and ranks.locator("g:visible").count() == 1
    kept = page.url
    page.goto("about:blank")
    page.goto(kept)
    assert lines.count() == 2 and not box.is_checked()
    box.check()
    assert lines.count() == 3
    figures.first.locator("a").first.focus()
    reached = page.evaluate("document.activeElement.href.baseVal")
    assert reached.startswith("runs/") and (report.parent / reached).is_file()


def test_the_pivot_holds_one_setting_and_follows_the_metric(page, report):
    page.goto(report.as_uri())
    heads = page.locator("#pivot thead th").all_text_contents()
    assert heads == ["Method", "babies", "cats"]
    methods = page.locator("#pivot tbody th").all_text_contents()
    assert methods == ["CRDI (closed form)", "GAN inversion", "copy"]
    first = page.locator("#pivot tbody td").first
    record = reference("crdi")
    page.select_option("#metric", "vendi")
    assert "Vendi" in page.text_content("#pivot caption")
    assert "±" in first.text_content()
    options = page.locator("#setting option").evaluate_all("all => all.map(o => o.value)")
    assert len(options) == 2
    page.select_option("#setting", options[1])
    assert page.locator("#pivot tbody th").all_text_contents() == ["GAN inversion"]
    page.select_option("#setting", options[0])
    page.locator("#pivot tbody a").first.click()
    page.locator('#m-vendi a[href*="runs/"]').first.click()
    assert record["run_id"] in page.url and page.url.endswith("#m-vendi")


def test_pictures_load_and_points_show_their_images(page, report):
    page.goto((report.parent / run_page(reference("crdi"))).as_uri())
    pictures = page.locator(".pictures img")
    assert pictures.count() == 3
    for picture in pictures.all():
        picture.scroll_into_view_if_needed()
        page.wait_for_function("i => i.complete", arg=picture.element_handle())
        assert picture.evaluate("i => i.naturalWidth") > 0
    for role in ("source", "target", "generated", "shots"):
        point = page.locator(f'use[data-r="{role}"]').last
        point.dispatch_event("pointerover")
        shown = page.locator(".shown img")
        page.wait_for_function("i => i.complete", arg=shown.element_handle())
        assert shown.evaluate("i => i.naturalWidth") > 0
        assert shown.get_attribute("alt") == f"{role}, image {point.get_attribute('data-i')}"


def test_the_point_shows_its_own_image(page, report):
    """Sample i was stored with i in its red channel; what the page shows is read back."""
    page.goto((report.parent / run_page(reference("crdi"))).as_uri())
    point = page.locator('use[data-r="generated"]').nth(30)
    point.dispatch_event("pointerover")
    shown = page.locator(".shown .tile")
    page.wait_for_function("i => i.complete", arg=shown.locator("img").element_handle())
    assert abs(mean_red(shown) - int(point.get_attribute("data-i"))) <= 3


def test_the_plot_by_keyboard(page, report):
    page.goto((report.parent / run_page(reference("crdi"))).as_uri())
    plane = page.locator(".plane")
    plane.focus()
    assert page.locator("use.on").count() == 1
    before = float(page.locator("use.on").get_attribute("x"))
    plane.press("ArrowRight")
    plane.press("ArrowRight")
    assert float(page.locator("use.on").get_attribute("x")) > before
    assert page.locator(".shown img").count() == 1
    page.uncheck('[data-role="source"]')
    assert page.locator('use[data-r="source"][display="none"]').count() == 60


def test_two_runs_side_by_side(page, report):
    page.goto((report.parent / "compare.html").as_uri())
    labels = page.locator("#left option").all_text_contents()
    assert labels == ["CRDI (closed form), seed 0", "GAN inversion, seed 0"]
    assert page.locator("#couples li").count() == 100
    assert page.locator("#pair-shots img").count() == 10
    numbers = page.locator("#pair-numbers tbody tr").first.locator("td").all_text_contents()
    assert numbers[0] == f"{reference('crdi')['metrics']['fd']['value']:.2f}"
    images = page.locator("#couples li").nth(7).locator("img")
    names = [image.get_attribute("alt") for image in images.all()]
    assert names == ["CRDI (closed form), seed 0, image 7", "GAN inversion, seed 0, image 7"]
    for image in images.all():
        page.wait_for_function("i => i.complete", arg=image.element_handle())
        assert image.evaluate("i => i.naturalWidth") > 0


def magnified(page):
    names = page.locator(".magnifier img").evaluate_all("all => all.map(i => i.alt)")
    return page.text_content(".magnifier output"), names


def test_a_pair_is_magnified_and_the_arrows_go_on(page, report):
    page.goto((report.parent / "compare.html").as_uri())
    page.locator("#couples button").nth(7).press("Enter")
    seen = ["CRDI (closed form), seed 0, image 7", "GAN inversion, seed 0, image 7"]
    assert magnified(page) == ("Image 7 (0 to 99)", seen)
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowLeft")
    assert magnified(page)[0] == "Image 8 (0 to 99)"
    shown = page.locator(".magnifier .tile").first
    page.wait_for_function("i => i.complete", arg=shown.locator("img").element_handle())
    assert shown.bounding_box()["width"] == 320
    assert abs(mean_red(shown) - 8) <= 3  # the image's own index
    page.keyboard.press("Escape")
    assert not page.locator(".magnifier").is_visible()


def test_a_click_on_a_strip_magnifies_that_image_of_all_methods(page, report):
    page.goto((report.parent / run_page(reference("crdi"))).as_uri())
    strip = page.locator(".strip-row:not(.shots) img.strip").first
    strip.scroll_into_view_if_needed()
    box = strip.bounding_box()
    strip.click(position={"x": box["width"] * 2.5 / 8, "y": box["height"] / 2})
    text, names = magnified(page)
    assert text == "Image 2 (0 to 7)"
    assert names == ["CRDI (closed form), image 2", "GAN inversion, image 2"]
    assert abs(mean_red(page.locator(".magnifier .tile").first) - 2) <= 3
    page.get_by_role("button", name="Close").click()
    page.get_by_role("button", name="Magnify").press("Enter")
    assert magnified(page)[0] == "Image 0 (0 to 7)"
    page.get_by_role("button", name="Previous").click()
    assert magnified(page)[0] == "Image 0 (0 to 7)"


def test_nothing_is_magnified_when_all_methods_are_hidden(page, report):
    page.goto(report.as_uri())
    for box in page.locator(".view:visible .keys input").all():
        box.uncheck()
    page.get_by_role("button", name="Magnify").first.click()
    assert page.locator(".magnifier").count() == 0


def test_theme_is_chosen_and_kept(page, report):
    page.goto(report.as_uri())
    paper = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(paper)
    page.click("#theme")
    assert page.evaluate(paper) != light
    page.reload()
    assert page.evaluate(paper) != light


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_contrast(page, report, scheme):
    """WCAG's ratio of body, soft and link colours to the paper, at least 4.5."""
    page.emulate_media(color_scheme=scheme)
    page.goto(report.as_uri())

    def luminance(name):
        value = page.evaluate(
            f"getComputedStyle(document.documentElement).getPropertyValue('--{name}')"
        )
        parts = [int(value.strip()[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
        return sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    for ink, paper in (("ink", "paper"), ("soft", "faint"), ("link", "paper"), ("warn", "warn-bg")):
        light, dark = sorted((luminance(ink), luminance(paper)), reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 4.5, (ink, paper)


def test_nothing_is_wider_than_a_phone(browser, report):
    context = browser.new_context(viewport={"width": 400, "height": 800})
    page = context.new_page()
    for path in [report, *sorted(report.parent.rglob("*.html"))]:
        page.goto(path.as_uri())
        assert page.evaluate("document.documentElement.scrollWidth") <= 400, path.name
    context.close()


def test_1000_runs_open_within_a_second(page, tmp_path):
    known = [reference(m, d) for m in ("crdi", "copy", "real") for d in ("babies", "sunglasses")]
    many = [
        altered(r, run_id=f"{n:010d}", seed=n % 18, protocol_hash=f"{n // 300:08d}")
        for n in range(1000)
        for r in [known[n % len(known)]]
    ]
    index = write_report(many, results=tmp_path / "none", out=tmp_path / "report")
    assert index.stat().st_size < 2**20
    page.goto(Path(index).as_uri(), wait_until="load")
    assert page.locator("#pivot tbody tr").count() >= 3
    spent = "performance.getEntriesByType('navigation')[0].loadEventEnd"
    assert 0 < page.evaluate(spent) < 1000
