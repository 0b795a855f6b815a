"""Rooms stand on floors: the import graph, read here and by the contracts in pyproject.toml."""

import ast
import tomllib

import pytest
from helpers import ROOT

PACKAGES = ("fsig_bench", "baselines")
CONTRACTS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"][
    "contracts"
]
FLOORS = next(c["layers"] for c in CONTRACTS if c["type"] == "layers")
FLOOR = {room.strip(): len(FLOORS) - n for n, row in enumerate(FLOORS) for room in row.split("|")}


def imports(path):
    """Every dotted name that a file imports, lazily or for annotations too."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{name.name}" for name in node.names)
        elif isinstance(node, ast.Import):
            yield from (name.name for name in node.names)


def room_of(dotted):
    """The room that a dotted name belongs to: a file or folder at the top of a package."""
    parts = dotted.split(".")
    return "baselines" if parts[0] == "baselines" else ".".join(parts[:2])


def files(package):
    return sorted((ROOT / package).rglob("*.py"))


def room_of_file(path):
    return room_of(".".join(path.relative_to(ROOT).with_suffix("").parts))


def test_the_harness_names_no_method():
    for path in files("fsig_bench"):
        assert not [m for m in imports(path) if m.split(".")[0] == "baselines"], path


def test_every_room_has_a_floor_and_there_are_few_of_both():
    rooms = {room_of_file(p) for p in files("fsig_bench")} - {"fsig_bench.__init__"}
    assert rooms == set(FLOOR) - {"baselines"}
    assert len(FLOORS) <= 8 and len(rooms) <= 20
    assert sum((ROOT / r.replace(".", "/")).is_dir() for r in rooms) <= 12


def test_imports_only_look_down():
    upwards = []
    for path in files("fsig_bench"):
        own = room_of_file(path)
        if own == "fsig_bench.__init__":
            continue  # the library's face imports when it is called
        for name in imports(path):
            other = room_of(name)
            if name.startswith("fsig_bench.") and other != own and other in FLOOR:
                upwards += [(str(path), name)] if FLOOR[other] >= FLOOR[own] else []
    assert not upwards


def circles(package):
    """The files of a package that import each other in a circle."""
    modules = {
        ".".join(p.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): p
        for p in files(package)
    }
    edges = {}
    for module, path in modules.items():
        found = set()
        for name in imports(path):
            while name and name not in modules:
                name = name.rpartition(".")[0]
            # A name of a package's door counts as the file behind it.
            if name and name != module and not module.startswith(f"{name}."):
                found.add(name)
        edges[module] = found
    left = set(edges)
    while True:
        free = {m for m in left if not edges[m] & left}
        if not free:
            return left
        left -= free


@pytest.mark.parametrize("package", PACKAGES)
def test_no_files_import_each_other_in_a_circle(package):
    assert not circles(package)


def test_methods_import_the_one_door():
    from fsig_bench import api

    for path in files("baselines"):
        for name in imports(path):
            if name.startswith("fsig_bench"):
                assert name.startswith("fsig_bench.api."), (path, name)
                assert name.removeprefix("fsig_bench.api.") in api.__all__, (path, name)


def test_metrics_import_the_door_their_base_and_no_other_metric():
    """The files whose classes conf/metric names; what two metrics share lies in a file without."""
    named = {
        line.split(": ")[1].rpartition(".")[0].split(".")[-1]
        for path in (ROOT / "conf" / "metric").glob("*.yaml")
        for line in path.read_text().splitlines()
        if line.startswith("_target_: fsig_bench.metrics.")
    }
    assert len(named) >= 8
    for name in named:
        for imported in imports(ROOT / "fsig_bench" / "metrics" / f"{name}.py"):
            if imported.startswith("fsig_bench"):
                assert imported.startswith(("fsig_bench.api.", "fsig_bench.metrics.")), name
                assert imported.split(".")[2] not in named, (name, imported)


def test_the_door_offers_what_it_says():
    from fsig_bench import api

    assert sorted(api.__all__) == sorted(n for names in api.HOMES.values() for n in names)
    for name in api.__all__:
        assert getattr(api, name) is not None
    with pytest.raises(AttributeError, match="has no Imagez; it offers .*Images"):
        _ = api.Imagez


def test_files_stay_small():
    for path in (*files("fsig_bench"), *files("baselines")):
        assert len(path.read_text().splitlines()) <= 250, path


def test_every_folder_of_tests_is_a_room():
    folders = {p.name for p in (ROOT / "tests").iterdir() if p.is_dir() and p.name != "__pycache__"}
    rooms = {room.removeprefix("fsig_bench.") for room in FLOOR}
    assert folders - {"bench", "conf", "parity"} <= rooms


def test_every_shipped_weight_is_in_its_manifest_and_the_folder_is_small():
    from fsig_bench.api.weights import manifest_entry, sha256_of

    weights = list((ROOT / "baselines" / "weights").rglob("*.safetensors"))
    assert {f.name for f in weights} >= {"diffusion.safetensors", "reader.safetensors"}
    for file in weights:
        entry = manifest_entry(file)
        assert entry["sha256"] == sha256_of(file)
        for key in ("command", "recipe", "seed", "cost", "quality", "licence"):
            assert entry[key] not in (None, {}), (file.name, key)
    assert sum(f.stat().st_size for f in weights) < 44 * 2**20
