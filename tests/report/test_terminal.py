from rich.console import Console

from fsig_bench.report.terminal import distances_that_prefer_copies, missing_reasons, terminal_table


def record(method, fd, kid=None, kind="method"):
    metrics = {"fd": {"value": fd, "extractor": "x", "n_real": 9}}
    metrics["kid"] = (
        {"value": kid} if kid is not None else {"value": None, "reason": "no reference"}
    )
    return {
        "method": method,
        "dataset": "babies",
        "k": 10,
        "seed": 0,
        "suite": "mini",
        "protocol": "ours",
        "num_images": 50,
        "metrics": metrics,
        "config": {"method": {"card": {"label": method.upper(), "kind": kind}}},
        "timing_s": {"adapt": 1.0, "sample": 2.0},
        "nfe_per_image": 20,
    }


def printed(*records):
    console = Console(width=100, record=True, file=open("/dev/null", "w"))
    console.print(terminal_table(records))
    console.file.close()
    return console.export_text()


def test_the_table_shows_values_and_dashes():
    text = printed(record("crdi", 12.345, 0.0021), record("copy", 3.0, kind="control"))
    assert "12.35" in text and "2.10" in text and "CRDI" in text
    kid = next(line for line in text.splitlines() if "KID" in line)
    assert kid.rstrip(" │").endswith("-")
    assert "compare with nothing published" in text


def test_a_metric_that_prefers_copies_says_so():
    good, bad = record("crdi", 2.0, 0.1), record("crdi", 5.0, 0.1)
    copy = record("copy", 3.0, 0.2)
    assert distances_that_prefer_copies([good, copy]) == []
    assert distances_that_prefer_copies([bad, copy]) == [
        "Frechet distance prefers copying the shots to this method"
    ]
    assert distances_that_prefer_copies([bad]) == []


def test_each_reason_is_given_once():
    assert missing_reasons([record("a", 1.0), record("b", 1.0)]) == ["kid: no reference"]
