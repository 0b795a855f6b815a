"""The import graph points one way (the contracts stand in pyproject.toml)."""

import ast

from helpers import ROOT

# design: methods may use these parts of the harness and nothing else
OPEN_TO_METHODS = {"types", "images", "seeding", "assets", "download"}


def imports(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
        elif isinstance(node, ast.Import):
            yield from (a.name for a in node.names)


def test_the_harness_names_no_method():
    for path in (ROOT / "fsig_bench").rglob("*.py"):
        assert not [m for m in imports(path) if m.split(".")[0] == "baselines"], path


def test_methods_use_only_what_is_open_to_them():
    for path in (ROOT / "baselines").rglob("*.py"):
        for module in imports(path):
            if module.startswith("fsig_bench"):
                assert module.split(".")[1] in OPEN_TO_METHODS, (path, module)


def test_files_stay_small():
    for folder in ("fsig_bench", "baselines"):
        for path in (ROOT / folder).rglob("*.py"):
            assert len(path.read_text().splitlines()) <= 250, path


def test_every_shipped_weight_is_in_its_manifest_and_the_folder_is_small():
    from fsig_bench.api.weights import manifest_entry, sha256_of

    files = list((ROOT / "baselines" / "weights").rglob("*.safetensors"))
    assert {f.name for f in files} >= {"diffusion.safetensors", "reader.safetensors"}
    for file in files:
        entry = manifest_entry(file)
        assert entry["sha256"] == sha256_of(file)
        for key in ("command", "recipe", "seed", "cost", "quality", "licence"):
            assert entry[key] not in (None, {}), (file.name, key)
    assert sum(f.stat().st_size for f in files) < 40 * 2**20
