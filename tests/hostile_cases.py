"""Records that are damaged, forged or of others: what each file holds, and what has to happen."""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fsig_bench.store.files import seal

ROOT = Path(__file__).parents[1]
REFERENCE = ROOT / "results" / "reference" / "mini"
RUN_ID = "00ff00ff00"
FOLDER = f"runs/mini/crdi/babies/k10-seed9-{RUN_ID}"
HTML, LATEX = "<script>alert(1)</script>", r"\input{/etc/passwd} & $x^2$ % |"
FORMULA = '=HYPERLINK("http://x")'


@dataclass(frozen=True)
class Case:
    """One hostile file, and what has to happen to it."""

    name: str
    place: Callable[[Path], None]  # makes the run folder's files, given the folder
    skipped: bool = True  # false: it is a whole record whose text has to be shown escaped


def base() -> dict:
    """A whole record of the run that the folder is named by."""
    (path,) = (REFERENCE / "crdi" / "babies").glob("k10-seed0-*/record.json")
    record = json.loads(path.read_text())
    record.pop("seal", None)
    record |= {"record_version": 2, "run_id": RUN_ID, "seed": 9, "draw": 9}
    record["config"]["seed"] = 9
    return record


def sealed(record: object) -> bytes:
    """The file of a record with a seal that fits, as a forger would write it."""
    if isinstance(record, dict):
        record = record | {"seal": seal(record)}
    return json.dumps(record, indent=2).encode()


def changed(*path: str | int, to: object) -> Callable[[Path], None]:
    """A record with one value replaced (None of a missing key adds it), sealed anew."""

    def place(folder: Path) -> None:
        record = node = copy.deepcopy(base())
        for key in path[:-1]:
            node = node[key]
        node[path[-1]] = to
        (folder / "record.json").write_bytes(sealed(record))

    return place


def without(*names: str) -> Callable[[Path], None]:
    """A record without some fields, sealed anew."""

    def place(folder: Path) -> None:
        record = {k: v for k, v in base().items() if k not in names}
        (folder / "record.json").write_bytes(sealed(record))

    return place


def holding(data: bytes | Callable[[], bytes]) -> Callable[[Path], None]:
    """A file of these bytes."""

    def place(folder: Path) -> None:
        (folder / "record.json").write_bytes(data if isinstance(data, bytes) else data())

    return place


def linked(target: str) -> Callable[[Path], None]:
    """A symbolic link in the record's place."""
    return lambda folder: (folder / "record.json").symlink_to(target)


def pipe(folder: Path) -> None:
    """A named pipe, which a plain reader waits at for ever."""
    os.mkfifo(folder / "record.json")


def edited(folder: Path) -> None:
    """A number changed by hand."""
    text = sealed(base()).decode()
    (folder / "record.json").write_text(text.replace('"k": 10', '"k": 11', 1))


def sparse(folder: Path) -> None:
    """A file of 4 GB without content."""
    with (folder / "record.json").open("wb") as file:
        file.truncate(4 * 10**9)


def nested(levels: int) -> bytes:
    """Lists in each other."""
    return sealed(base())[:-2] + b',\n"deep": ' + b"[" * levels + b"]" * levels + b"}"


def other_run() -> bytes:
    """A whole record of another run."""
    return next((REFERENCE / "copy" / "babies").glob("*/record.json")).read_bytes()


def with_name(field: str, value: str) -> Callable[[Path], None]:
    """A record whose field says this."""
    return changed(field, to=value)


CARD = ("config", "method", "card")
CASES = (
    Case("empty", holding(b"")),
    Case("truncated", holding(lambda: sealed(base())[:-200])),
    Case("binary", holding(bytes(range(256)) * 40)),
    Case("not UTF-8", holding(lambda: sealed(base()).replace(b'"babies"', b'"bab\xff\xfees"'))),
    Case("UTF-16", holding(lambda: sealed(base()).decode().encode("utf-16"))),
    Case("byte order mark", holding(lambda: b"\xef\xbb\xbf" + sealed(base()))),
    Case("HTML page", holding(b"<!doctype html><title>404</title>")),
    Case("Git LFS pointer", holding(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n")),
    Case("null", holding(b"null")),
    Case("a list", holding(lambda: sealed([base()]))),
    Case("a number", holding(b"12")),
    Case("an empty object", holding(b"{}")),
    Case("two objects", holding(lambda: sealed(base()) * 2)),
    Case("nested 100 levels", holding(lambda: nested(100))),
    Case("nested 100,000 levels", holding(lambda: b"[" * 10**5 + b"]" * 10**5)),
    Case("4 GB of zeros", sparse),
    Case("whole number of 10,000 digits", holding(lambda: b'{"k": ' + b"9" * 10**4 + b"}")),
    Case("edited without a new seal", edited),
    Case("seal of another record", changed("seal", to="0" * 64)),
    Case("seal cut off", holding(lambda: json.dumps(base()).encode())),
    Case("record of another run", holding(other_run)),
    Case("other seed than the folder", changed("seed", to=8)),
    Case("other method than the folder", changed("method", to="copy")),
    Case("run id leads out", with_name("run_id", "../../../../../tmp/x")),
    Case("method leads out", with_name("method", "../../..")),
    Case("dataset is absolute", with_name("dataset", "/etc")),
    Case("stage key leads out", changed("stages", "sample", to="../../../etc")),
    Case("picture leads out", changed("pictures", "samples", to="../../../../etc/passwd")),
    Case("method in a shell's grammar", with_name("method", "$(touch /tmp/x)")),
    Case("protocol of HTML", with_name("protocol", HTML)),
    Case("without metrics", without("metrics")),
    Case("without config", without("config")),
    Case("without costs", without("timing_s", "peak_mem_gib")),
    Case("without run id", without("run_id")),
    Case("metrics are a list", changed("metrics", to=[1, 2])),
    Case("a metric is a number", changed("metrics", "fd", to=3.0)),
    Case("a metric without value", changed("metrics", "fd", to={"extractor": "x"})),
    Case("a value of text", changed("metrics", "fd", "value", to="12.5")),
    Case("a value of true", changed("metrics", "fd", "value", to=True)),
    Case("NaN", changed("metrics", "fd", "value", to=float("nan"))),
    Case("infinity", changed("metrics", "fd", "value", to=float("inf"))),
    Case("1e308", changed("metrics", "fd", "value", to=1e308)),
    Case("extractor is a list", changed("metrics", "fd", "extractor", to=["a"])),
    Case("metric named as a path", changed("metrics", "../fd", to={"value": 1.0})),
    Case("clusters of text", changed("metrics", "intra_lpips", "cluster_sizes", to=["a", None])),
    Case("factors are a list", changed("metrics", "factor_coverage", "by_factor", to=[1])),
    Case("k is text", changed("k", to="10")),
    Case("k is true", changed("k", to=True)),
    Case("k is negative", changed("k", to=-10)),
    Case("no images", changed("num_images", to=0)),
    Case("timing is text", changed("timing_s", "adapt", to="1 s")),
    Case("negative time", changed("timing_s", "adapt", to=-1.0)),
    Case("config is a list", changed("config", to=[])),
    Case("card is null", changed(*CARD, to=None)),
    Case("unknown kind of method", changed(*CARD, "kind", to="oracle")),
    Case("label of two lines", changed(*CARD, "label", to="a\n| b |")),
    Case("label that clears the screen", changed(*CARD, "label", to="\x1b[2Jx")),
    Case("half of a surrogate pair", changed(*CARD, "label", to="\ud800")),
    Case(
        "card of 10^9 decimals",
        changed(
            "config", "protocol", "metrics", "fd", "card", to={"heading": "x", "decimals": 10**9}
        ),
    ),
    Case("notes are text", changed("notes", to="none")),
    Case("environment is null", changed("environment", to=None)),
    Case("code is a list", changed("code", to=[])),
    Case("code of files without digests", changed("code", to={"files": {"os": None}})),
    Case("link to nothing", linked("/nowhere/record.json")),
    Case("link to itself", linked("record.json")),
    Case("link to a device", linked("/dev/zero")),
    Case("link to another run", linked(str(next(REFERENCE.rglob("record.json"))))),
    Case("a folder", lambda folder: (folder / "record.json").mkdir()),
    Case("a pipe", pipe),
    Case("label of HTML", changed(*CARD, "label", to=HTML), skipped=False),
    Case("label of LaTeX", changed(*CARD, "label", to=LATEX), skipped=False),
    Case("label of Markdown", changed(*CARD, "label", to="[x](javascript:alert(1)) | *y*"), False),
    Case("label of a spreadsheet formula", changed(*CARD, "label", to=FORMULA), skipped=False),
    Case("label of terminal markup", changed(*CARD, "label", to="[/red][link=x]y"), skipped=False),
    Case("reason of HTML", changed("metrics", "fd", to={"value": None, "reason": HTML}), False),
    Case("unknown metric", changed("metrics", "unheard_of", to={"value": 1.0}), skipped=False),
    Case("unknown fields", changed("draw", to=3), skipped=False),
    Case(
        "class that makes a file",
        changed("config", "dataset", "_target_", to="pathlib.Path.touch"),
        skipped=False,
    ),
)
