"""A small results folder as runs leave it, and pages read back as a browser would."""

import copy
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser

import numpy as np
import pytest
import torch
from helpers import ROOT
from PIL import Image

from fsig_bench.store.curve import append_point
from fsig_bench.store.store import Store, run_folder_name

REFERENCE = ROOT / "results" / "reference" / "mini"
ROLES = {"source": 400, "target": 400, "generated": 400, "shots": 10}  # points of a run's figure

SCRIPT = ROOT / "fsig_bench/report/html/compare.js"
# Runs compare.js without a browser: elements are plain objects, and each step sets one selection.
STAGE = """
const { readFileSync } = require("fs"), { groups, steps, script } = JSON.parse(readFileSync(0));
const make = (tag, fields, ...children) => ({ ...fields, children, heard: [],
  append(...more) { this.children.push(...more); },
  replaceChildren(...own) { this.children = own; },
  addEventListener(name, call) { if (name === "change") this.heard.push(call); } });
const nodes = {}, $ = (id) => nodes[id] ??= make("div", { value: 0 });
const text = (n) => typeof n === "object"
  ? (n.textContent ?? "") + n.children.map(text).join("") : n;
const fsig = { $, make, json: () => groups, tile: (sheet, i, size, alt) => alt, magnify() {} };
require("vm").runInNewContext(readFileSync(script, "utf8"),
  { fsig, URLSearchParams, location: { hash: "" }, history: { replaceState() {} } });
const read = () => ({ status: text($("pair-status")), couples: $("couples").children.length,
  pair: ["left", "right"].map((id) => groups[$("group").value].runs[$(id).value].label),
  shots: $("pair-shots").children.length, numbers: text($("pair-numbers")) });
console.log(JSON.stringify([read(), ...steps.map(([id, value]) => {
  $(id).value = value;
  $(id).heard.forEach((call) => call());
  return read();
})]));
"""
needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")


def reference(method, dataset="babies", seed=0):
    """A committed record; from seed 2 on, that of seed 1 with another value and other names."""
    (path,) = (REFERENCE / method / dataset).glob(f"k10-seed{min(seed, 1)}-*/record.json")
    record = json.loads(path.read_text())
    if seed < 2:
        return record
    record["metrics"]["fd"]["value"] += seed
    return record | {"subset": seed, "seed": seed, "draw": seed, "run_id": f"{seed:010d}"}


def altered(record, **fields):
    """A copy with other top-level fields."""
    return copy.deepcopy(record) | fields


def leave(record, results, *, level):
    """What a finished run leaves; its samples are of one grey level plus their index."""
    folder = results / run_folder_name(record, record["run_id"])
    folder.mkdir(parents=True)
    (folder / "record.json").write_text(json.dumps(record))
    for name in ("samples", "nearest", "tsne"):
        Image.new("RGB", (700, 500), (level, 80, 120)).save(folder / f"{name}.png")
    rng = np.random.default_rng(level)
    rows = [
        f"{role},{index},{x:.4f},{y:.4f}"
        for role, n in ROLES.items()
        for index, (x, y) in enumerate(rng.normal(size=(n, 2)))
    ]
    (folder / "tsne.csv").write_text("\n".join(["role,index,x,y", *rows]) + "\n")
    store = Store(results)
    images = torch.full((100, 3, 64, 64), level, dtype=torch.uint8)
    images[:, 0] = torch.arange(100, dtype=torch.uint8)[:, None, None]
    for start in (0, 50):
        store.save_shard(record["stages"]["sample"], start, images[start : start + 50], 1.0)
    adapt = store.adapt_folder(record["stages"]["adapt"])
    adapt.mkdir(parents=True, exist_ok=True)
    for i in range(1, 10):
        append_point(adapt / "curve.jsonl", {"done": i, "total": 9, "loss": 1 / i})
    with (adapt / "curve.jsonl").open("a") as file:
        file.write('{"done": 10, "to')
    return folder


class Page(HTMLParser):
    """Tags, text, ids and addresses of a page."""

    def __init__(self, path):
        super().__init__()
        self.tags, self.words, self.ids, self.addresses = [], [], set(), []
        self.feed(path.read_text())

    def handle_starttag(self, tag, attrs):
        own = dict(attrs)
        self.tags.append((tag, own))
        self.ids |= {own["id"]} if "id" in own else set()
        names = ("href", "src", "srcset", "poster", "data")
        self.addresses += [own[n] for n in names if own.get(n)]

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())

    def all(self, tag):
        return [own for name, own in self.tags if name == tag]


def tree(folder):
    """Every file's bytes by its name below the folder."""
    return {
        p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()
    }


def groups_of(report):
    """The groups that compare.html hands to its script."""
    text = (report.parent / "compare.html").read_text()
    return json.loads(re.search(r'id="groups">(.*?)</script>', text, re.S)[1])


def compare_page(groups, *steps):
    """What compare.js shows at first and after each (id, value)."""
    given = json.dumps({"groups": groups, "steps": steps, "script": str(SCRIPT)})
    done = subprocess.run(
        ["node", "-e", STAGE], input=given, text=True, capture_output=True, check=True
    )
    return json.loads(done.stdout)
