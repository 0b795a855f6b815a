"""The page of the leaderboard: its rows and ranks, and how it works in a browser, from disk."""

import shutil

import pytest
from board_helpers import leave_entry, leave_version
from html_helpers import Page, reference

from fsig_bench.report.board.page import write_board
from fsig_bench.store.records import write_record

NAMES = ("chromium", "google-chrome", "chromium-browser")
BROWSER = next((path for name in NAMES if (path := shutil.which(name))), None)
RUNS = {  # method, dataset, seed -> who, standing
    ("crdi", "babies", 0): ("Lab A", "re-scored"),
    ("crdi", "babies", 1): ("Lab A", "re-scored"),
    ("crdi", "babies", 2): ("Lab B", "re-scored"),
    ("gan_inversion", "babies", 0): ("Lab A", "re-scored"),
    ("finetune", "babies", 0): ("Lab B", "claimed"),
    ("copy", "babies", 0): ("Lab B", "re-scored"),
    ("crdi", "cats", 0): ("Lab B", "re-scored"),
}


@pytest.fixture(scope="module")
def board(tmp_path_factory):
    """A leaderboard of two labs in version 1, and a newer version without runs."""
    root = tmp_path_factory.mktemp("board")
    records = {}
    for (method, dataset, seed), (who, standing) in RUNS.items():
        path = root / "record.json"
        write_record(path, reference(method, dataset, seed))
        records[method, dataset, seed] = leave_entry(root, path, who, standing)
    hashes = {record["protocol_hash"] for record in records.values()}
    assert len(hashes) == 1
    leave_version(root, "1", hashes.pop(), "2026-01-01T00:00:00+00:00")
    leave_version(root, "2", "0a1b2c3d", "2026-02-01T00:00:00+00:00")
    path, problems = write_board(root)
    assert problems == []
    return path, records


def rows_of(page, metric):
    """By method, dataset and lab: rank and mean of a metric."""
    found, row = {}, None
    for tag, own in page.tags:
        if tag == "tr" and "data-who" in own:
            row = own["data-method"], own["data-dataset"], own["data-who"]
        if tag == "td" and own.get("data-m") == metric:
            found[row] = own.get("data-r"), float(own["data-v"])
    return found


def test_rows_are_ranked_where_they_compare(board):
    path, records = board
    fd = {key: record["metrics"]["fd"]["value"] for key, record in records.items()}
    rows = rows_of(Page(path), "fd")
    assert len(rows) == 6
    mine = (fd["crdi", "babies", 0] + fd["crdi", "babies", 1]) / 2
    assert rows["CRDI (closed form)", "babies", "Lab A"][1] == pytest.approx(mine)
    ranked = {mine: "A", fd["crdi", "babies", 2]: "B", fd["gan_inversion", "babies", 0]: "gan"}
    order = [ranked[value] for value in sorted(ranked)]
    assert rows["CRDI (closed form)", "babies", "Lab A"][0] == str(order.index("A") + 1)
    assert rows["CRDI (closed form)", "babies", "Lab B"][0] == str(order.index("B") + 1)
    assert rows["GAN inversion", "babies", "Lab A"][0] == str(order.index("gan") + 1)
    assert rows["CRDI (closed form)", "cats", "Lab B"][0] == "1"
    for name, lab in (("fine-tune", "Lab B"), ("copy", "Lab B")):  # claimed; a control
        assert rows[name, "babies", lab][0] is None
    # Higher is better here, and a metric without a direction ranks nobody.
    recall = rows_of(Page(path), "recall")
    own = [(value, rank) for rank, value in recall.values() if rank]
    assert {rank for value, rank in own if value == max(own)[0]} == {"1"}
    assert {rank for rank, _ in rows_of(Page(path), "nearest_shot").values()} == {None}


def test_the_page_names_versions_and_asks_nothing(board):
    path, _ = board
    page, text = Page(path), path.read_text()
    assert "0a1b2c3d" in page.text and "2026-02-01" in page.text
    assert not [a for a in page.addresses if not a.startswith(("#", "data:", "1/"))]
    assert "url(" not in text and "@import" not in text
    assert len(page.all("details")) == 6 + 1  # rows, and the filters
    before = path.read_bytes()
    assert write_board(path.parent)[0].read_bytes() == before


def test_an_empty_board_says_what_to_do(tmp_path):
    path, _ = write_board(tmp_path / "board")
    text = Page(path).text
    assert "Nothing has been handed in yet" in text and "No version is frozen yet" in text


@pytest.fixture(scope="module")
def browser():
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if BROWSER is None:
        pytest.skip(f"no browser among {', '.join(NAMES)}")
    words = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    with api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=BROWSER, args=words)
        yield opened
        opened.close()


@pytest.mark.parametrize("width, scheme", [(1400, "dark"), (400, "light")])
def test_the_page_in_a_browser(browser, board, width, scheme):
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page, wrong = context.new_page(), []
    page.on("console", lambda m: wrong.append(m.text) if m.type == "error" else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("requestfailed", lambda request: wrong.append(request.url))
    page.on("request", lambda r: wrong.append(r.url) if r.url.startswith("http") else None)
    page.goto(board[0].as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    visible = page.locator("#board tbody tr:not([hidden])")
    assert visible.count() == 6  # the newest version has no runs, so all are shown
    if width == 400:
        page.locator("#filter-box summary").click()
    page.locator('select[data-field="dataset"]').select_option("babies")
    page.locator('select[data-field="who"]').select_option("Lab A")
    assert visible.count() == 2 and "2 of 6 rows" in page.locator("#count").inner_text()
    page.locator("#metric").select_option("recall")
    assert page.locator("#board th.metric:visible").all_inner_texts() == ["recall ↑"]
    ranks = [int(text) for text in page.locator("#board td.rank:visible").all_inner_texts()]
    assert ranks == sorted(ranks)
    page.reload()  # the address holds the choice
    assert visible.count() == 2 and page.locator("#metric").input_value() == "recall"
    page.locator("#board tbody tr:not([hidden]) th a").first.click()
    assert page.locator("#details ~ details[open]").count() == 1
    picture = page.locator("details[open] .strip img")
    picture.scroll_into_view_if_needed()
    page.wait_for_function(
        "[...document.querySelectorAll('details[open] .strip img')].every("
        "(i) => i.complete && i.naturalWidth)"
    )
    paper = "getComputedStyle(document.body).backgroundColor"
    before = page.evaluate(paper)
    page.locator("#theme").click()
    assert page.evaluate(paper) != before
    context.close()
    assert wrong == []
