"""Code in keys: what an edit changes, what it does not, and how locks keep results."""

import json
import sys

import pytest
from helpers import ROOT, cli, make_cell

from fsig_bench.runner import fingerprint, keys, source_files
from fsig_bench.runner.fingerprint import changed_files, code_of, mark
from fsig_bench.runner.golden import is_unlocked, made_on
from fsig_bench.runner.golden_cases import case_of, digests_of, named_classes

METHOD = '''"""A method of somebody's own."""
from dataclasses import dataclass
from helper_of_mine import SHADE
from fsig_bench.api import ImageGenerators, State

STRENGTH = 0.1  # of the noise


@dataclass(frozen=True, kw_only=True)
class Mine:
    """Shots and noise."""

    steps: int
    nfe_per_image = 0.0

    def adapt(self, shots, *, seed, progress):
        return State(tensors={"shots": shots}, seed=seed, trained_params=0, nfe_adapt=0)

    def sampler(self, state, *, draw):
        shots = state.tensors["shots"]

        def images_at(indices):
            noise = ImageGenerators(draw, indices, "mine").randn(*shots.shape[1:])
            own = shots[[i % len(shots) for i in indices]]
            return (SHADE * own + STRENGTH * noise).clamp(-1, 1)

        return images_at
'''
YAML = """card: {name: mine, label: mine, kind: method, uses_shots: true, uses_seed: false}
_target_: %s.Mine
steps: 1
"""
RUN = ["method=mine", "dataset=babies", "k=2", "num_images=8", "batch_size=8", "controls=[]"]
RUN += ["suite.shard_size=8", "dataset.n_ref=100", "figures.tsne_points=10", "device=cpu"]
RUN += ["figures.embedding=pca"]


@pytest.fixture
def mine(tmp_path, monkeypatch, request):
    """A folder with a method of one's own, on the path; every test has its own module name."""
    name = f"mine_{abs(hash(request.node.name)) % 10**8}"
    (tmp_path / "conf" / "method").mkdir(parents=True)
    (tmp_path / "conf" / "method" / "mine.yaml").write_text(YAML % name)
    (tmp_path / f"{name}.py").write_text(METHOD)
    (tmp_path / "helper_of_mine.py").write_text("SHADE = 1.0\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setitem(sys.modules, "no_such", None)
    # Python takes a module's bytecode for its own if the source has the same second and length.
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def edit(old, new, file=f"{name}.py"):
        path = tmp_path / file
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))

    edit.folder, edit.target = tmp_path, f"{name}.Mine"
    return edit


def test_an_edit_of_code_changes_the_fingerprint_and_an_edit_of_words_does_not(mine):
    first = code_of(mine.target).fingerprint
    mine("# of the noise", "# how much noise")
    mine('"""Shots and noise."""', '"""Noise on shots."""')
    mine("STRENGTH = 0.1", "\n\nSTRENGTH   =   0.1")
    assert code_of(mine.target).fingerprint == first == mark(mine.target)
    mine("STRENGTH   =   0.1", "STRENGTH = 0.2")
    second = code_of(mine.target).fingerprint
    assert second != first
    mine("SHADE = 1.0", "SHADE = 0.5", "helper_of_mine.py")  # imported from the same folder
    assert code_of(mine.target).fingerprint not in (first, second)
    mine("SHADE = 0.5", "SHADE = 1.0", "helper_of_mine.py")
    mine("STRENGTH = 0.2", "STRENGTH = 0.1")
    assert code_of(mine.target).fingerprint == first


def test_a_changed_constant_runs_again_and_the_old_code_finds_its_record(mine):
    words = [
        *RUN,
        f"results_dir={mine.folder / 'results'}",
        f"hydra.searchpath=[file://{mine.folder / 'conf'}]",
    ]
    env = {"PYTHONPATH": str(mine.folder)}
    cli(*words, env=env)
    (first,) = records_in(mine.folder)
    mine("STRENGTH = 0.1", "STRENGTH = 0.3")
    why = cli(
        "runs",
        "why",
        f"results_dir={mine.folder / 'results'}",
        *words[:-2],
        "--config-dir",
        str(mine.folder / "conf"),
        env=env,
    ).stdout
    assert f"changed since: {mine.target.split('.')[0]}" in why
    cli(*words, env=env)
    second = records_in(mine.folder) - {first}
    assert len(second) == 1
    assert pixels(first) != pixels(*second)
    mine("STRENGTH = 0.3", "STRENGTH = 0.1")
    assert "adapt mine on" not in cli(*words, env=env).stdout
    assert records_in(mine.folder) == {first, *second}
    mine("STRENGTH = 0.1", "STRENGTH = 0.7")
    cli(*words, "reuse=any_code", env=env)
    (third,) = records_in(mine.folder) - {first, *second}
    record = json.loads(third.read_text())
    assert record["pixels_sha256"] in (pixels(first), pixels(*second))
    assert set(record["borrowed"]) == {"adapt", "sample"}
    assert not json.loads(first.read_text())["borrowed"]


def records_in(folder):
    return {*(folder / "results").rglob("record.json")}


def pixels(path):
    return json.loads(path.read_text())["pixels_sha256"]


def test_closures_hold_what_computes_and_nothing_else():
    crdi = code_of("baselines.crdi.CRDI").files
    assert "baselines.crdi.objective" in crdi and "baselines.common.diffusion" in crdi
    assert not any(m.startswith(("fsig_bench.metrics", "fsig_bench.runner")) for m in crdi)
    assert not any("domainstudio" in m for m in crdi)
    frechet = code_of("fsig_bench.metrics.frechet.Frechet").files
    assert "fsig_bench.metrics.base" in frechet and "fsig_bench.metrics.prdc" not in frechet
    reader = code_of("fsig_bench.faceworld.dataset.FaceworldDataset").files
    assert "fsig_bench.faceworld.render" in reader  # imported within a function


def test_the_digest_of_a_file_is_that_of_its_code(tmp_path):
    one, other = tmp_path / "one.py", tmp_path / "other.py"
    one.write_text('"""A."""\nx = [1, 2]\n\n\ndef f(a):\n    """B."""\n    return a + x[0]  # c\n')
    other.write_text("x = [1,\n     2]\ndef f(a):\n    return (a + x[0])\n")
    assert source_files.read_source(one).digest == source_files.read_source(other).digest
    other.write_text(other.read_text().replace("a + x", "a - x"))
    assert source_files.read_source(one).digest != source_files.read_source(other).digest
    one.write_text("if not TYPE_CHECKING:\n    import json\nelse:\n    import ast\n")
    assert [i.for_types for i in source_files.read_source(one).imports] == [False, False]
    one.write_text("if TYPE_CHECKING:\n    import json\nelse:\n    import ast\n")
    assert [i.for_types for i in source_files.read_source(one).imports] == [True, False]
    other.write_text("def f(:\n")
    with pytest.raises(ValueError, match=r"other\.py, line 1"):
        source_files.read_source(other)


def test_an_argument_that_is_a_path_enters_by_its_content(tmp_path):
    folder = tmp_path / "frozen"
    folder.mkdir()
    (folder / "a.bin").write_bytes(b"one")
    node = {"_target_": "baselines.copy.Copy", "teacher": str(folder), "mode": "fast"}
    before = keys.digest(keys.key_content(node))
    (folder / "a.bin").write_bytes(b"two")
    assert keys.digest(keys.key_content(node)) != before
    (folder / "a.bin").write_bytes(b"one")
    assert keys.digest(keys.key_content(node)) == before
    moved = tmp_path / "elsewhere"
    folder.rename(moved)
    assert keys.digest(keys.key_content(node | {"teacher": str(moved)})) == before


def test_speed_only_settings_and_marks_in_keys():
    words = ["method=rs_imle", "dataset=babies"]
    one, other = make_cell(*words), make_cell(*words, "method.decode_batch=1")
    assert one.adapt_key == other.adapt_key and one.run_id == other.run_id
    assert one.adapt_key != make_cell(*words, "method.lr=0.5").adapt_key
    assert keys.key_content(dict(one.method.spec))["_code_"].startswith("version ")


def test_seed_and_draw_are_two_axes():
    base = make_cell("method=crdi", "dataset=babies")
    drawn, seeded = (
        make_cell("method=crdi", "dataset=babies", word) for word in ("draw=1", "seed=1")
    )
    assert drawn.adapt_key == base.adapt_key and drawn.sample_key != base.sample_key
    assert seeded.adapt_key != base.adapt_key
    source = [make_cell("method=source", "dataset=babies", f"seed={s}") for s in (0, 1)]
    assert source[0].sample_key == source[1].sample_key  # nothing is adapted
    assert source[0].run_id != source[1].run_id


def test_every_class_of_conf_is_locked():
    unlocked = [target for target in named_classes(ROOT / "conf") if is_unlocked(target)]
    assert not unlocked, "run: fsig-bench check accept=true"


@pytest.mark.parametrize("label", ["method copy", "method source", "metric fd", "dataset babies"])
def test_golden_cases_give_their_bytes(label):
    case = case_of(*label.split())
    assert case.label == label
    known = fingerprint.read_locks(fingerprint.lock_file(case.classes[0]))["golden"][label]
    if known["made_on"] != made_on():
        pytest.skip(f"the golden bytes are of {known['made_on']}, here is {made_on()}")
    assert digests_of(case) == known["digests"]


def test_locks_keep_versions_over_edits_that_change_no_byte(mine, capsys):
    from fsig_bench.runner.contract import main

    words = ["--config-dir", str(mine.folder / "conf"), "method=mine", "accept=true"]
    assert main(words) == 0
    assert mark(mine.target) == "version 1"
    mine("STRENGTH * noise", "noise * STRENGTH")
    assert mark(mine.target) == code_of(mine.target).fingerprint  # work in progress
    reload(mine)
    assert main(words) == 0
    assert mark(mine.target) == "version 1"
    mine("STRENGTH = 0.1", "STRENGTH = 0.4")
    reload(mine)
    assert main(words) == 1
    assert "OTHER BYTES (images)" in capsys.readouterr().out
    assert mark(mine.target) == code_of(mine.target).fingerprint
    assert main([*words, "version=next"]) == 0
    assert mark(mine.target) == "version 2"


def reload(mine):
    sys.modules.pop(mine.target.split(".")[0])


def test_a_record_names_the_files_that_have_changed_since(mine):
    recorded = fingerprint.recorded_code({"_target_": mine.target})
    assert changed_files(recorded) == []
    mine("SHADE = 1.0", "SHADE = 0.9", "helper_of_mine.py")
    assert changed_files(recorded) == ["helper_of_mine"]
    (mine.folder / "helper_of_mine.py").unlink()
    assert changed_files(recorded) == ["helper_of_mine (gone)"]
