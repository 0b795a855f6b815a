"""The words of the command line: help, refusals, one dialect, folders of YAML of a user's own."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from helpers import ROOT, cli

from fsig_bench.__main__ import main
from fsig_bench.console import exit_status
from fsig_bench.help import WORDS, word_usage
from fsig_bench.runner.contract_cell import DEFAULTS
from fsig_bench.words import parse_words, results_root, split_config_dir

REFERENCE = ROOT / "results" / "reference" / "mini"
HEAVY = ("torch", "hydra", "omegaconf", "numpy", "rich")


@pytest.fixture
def few_records(tmp_path):
    """A results folder with some records of two methods, and a sweep's cache that is no record."""
    found = []
    for path in sorted(REFERENCE.rglob("*.json")):
        record = json.loads(path.read_text())
        if record["method"] in ("copy", "source") and record["dataset"] == "babies":
            found.append(path)
    for path in found:
        folder = tmp_path / "runs" / path.parent.relative_to(REFERENCE.parent)
        folder.mkdir(parents=True)
        shutil.copy(path, folder / "record.json")
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "plans.json").write_text('{"stamps": "", "jobs": {}}')
    assert found
    return tmp_path


@pytest.mark.parametrize("words", [[], ["--help"], *([w, "--help"] for w in WORDS)], ids=" ".join)
def test_help_is_quick_and_imports_nothing_heavy(words):
    code = (
        "import sys; from fsig_bench.__main__ import main; status = main(sys.argv[1:]); "
        f"loaded = [m for m in {HEAVY} if m in sys.modules]; "
        "print(loaded, file=sys.stderr); sys.exit(status or bool(loaded))"
    )
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", code, *words], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert f"fsig-bench {words[0] if words[:1] != ['--help'] and words else ''}" in done.stdout
    assert time.perf_counter() - start < 3.0  # 0.1 s on a quiet machine


@pytest.mark.parametrize("word", WORDS)
@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_help_of_a_word_never_starts_its_work(word, flag, capsys, monkeypatch):
    monkeypatch.setattr("fsig_bench.__main__.import_module", None)
    assert main([word, flag]) == 0
    text = capsys.readouterr().out
    assert f"fsig-bench {word}" in text
    assert main([word, "results_dir=/nowhere", flag]) == 0
    assert capsys.readouterr().out == text


@pytest.mark.parametrize("word", WORDS)
def test_help_of_a_word_shows_its_usage_as_commands(word):
    shown = [line for line in word_usage(word).splitlines() if line.startswith("    ")]
    assert any(line.strip().startswith(f"fsig-bench {word}") for line in shown)


def test_help_of_check_names_its_defaults():
    text = word_usage("check")
    assert [k for k, v in DEFAULTS.items() if f"{k}={v}" not in text] == []


@pytest.mark.parametrize(
    "typed, known", [("reprot", "report"), ("run", "runs"), ("lst", "list"), ("Compare", "compare")]
)
def test_a_mistyped_word_is_refused_with_the_nearest(typed, known, capsys):
    assert main([typed]) == 1
    assert f"Did you mean {known}?" in capsys.readouterr().err


def test_a_word_like_no_other_is_refused_with_all(capsys):
    assert main(["zzzzzz"]) == 1
    assert ", ".join(WORDS) in capsys.readouterr().err


def parse(*words):
    return parse_words(words, word="word", keys=("out", "results_dir"), aliases={"results": "out"})


def test_words_are_sorted_into_settings_and_positions(tmp_path):
    given = parse("a", f"--config-dir={tmp_path}", "out=b=c", "d")
    assert given.settings == {"out": "b=c"}
    assert given.positional == ["a", "d"]
    assert given.config_dir == tmp_path
    assert parse("results=x").settings == {"out": "x"}


@pytest.mark.parametrize(
    "typed, message",
    [
        ("oot=1", "word knows no oot=. Did you mean out?"),
        ("zzz=1", "It takes out=, results_dir=."),
        ("--foo", "word has no option --foo"),
        ("--config-dir=/not/there", "there is no folder /not/there"),
        ("hydra.searchpath=[file:///not/there]", "there is no folder /not/there"),
        ("hydra.searchpath=[file:///a,file:///b]", "name one folder"),
    ],
)
def test_other_words_are_refused(typed, message):
    with pytest.raises(ValueError) as error:
        parse(typed)
    assert message in str(error.value)


def test_positions_are_refused_where_they_are_listed():
    with pytest.raises(ValueError, match="Did you mean verify"):
        parse_words(["verfy"], word="runs", keys=(), positional=("verify", "prune"))


def test_a_folder_of_yaml_is_named_in_each_of_hydras_ways(tmp_path):
    for typed in ([f"--config-dir={tmp_path}"], ["--config-dir", str(tmp_path)]):
        assert split_config_dir(["a", *typed, "b=1"]) == (["a", "b=1"], tmp_path)
        assert parse(*typed).config_dir == tmp_path
    assert parse(f"hydra.searchpath=[file://{tmp_path}]").config_dir == tmp_path


def test_a_results_folder_may_be_named_by_its_runs(tmp_path):
    (tmp_path / "runs").mkdir()
    assert results_root(str(tmp_path)) == results_root(str(tmp_path / "runs")) == tmp_path
    with pytest.raises(ValueError, match="there is no folder"):
        results_root(str(tmp_path / "other"))


def test_an_interrupted_word_says_one_line(capsys):
    def interrupted(words):
        raise KeyboardInterrupt

    assert exit_status(interrupted, []) == 130
    assert len(capsys.readouterr().err.splitlines()) == 1


def run(*words, env=None):
    return cli(
        *map(str, words),
        env={"COLUMNS": os.environ.get("COLUMNS", "80"), **(env or {})},
        check=False,
    )


def test_compare_and_report_read_a_root_and_its_runs(few_records, capsys):
    answers = []
    for folder in (few_records, few_records / "runs"):
        for words in ([str(folder)], [f"results_dir={folder}"]):
            assert main(["compare", "copy", "source", *words]) == 0
            answers.append(capsys.readouterr().out)
    assert len(set(answers)) == 1 and "copy minus source" in answers[0]
    out = few_records / "out"
    assert main(["report", str(few_records), "only=tables", f"out={out}"]) == 0
    first = capsys.readouterr().out
    assert main(["report", f"results={few_records / 'runs'}", "only=tables", f"out={out}"]) == 0
    assert capsys.readouterr().out == first
    assert "plans.json" not in first


@pytest.mark.parametrize("word", [["report"], ["compare", "copy", "source"], ["report", "verify"]])
def test_a_folder_that_is_not_there_is_an_error(word, few_records, tmp_path, capsys):
    absent = tmp_path / "absent"
    for words in ([str(few_records), str(absent)], [f"results_dir={absent}"]):
        assert main([*word, *words]) == 1
        assert str(absent) in capsys.readouterr().err


def test_verify_may_stand_after_the_folder(few_records, capsys):
    verdicts = []
    for words in (["verify", str(few_records)], [str(few_records), "verify"]):
        main(["report", *words])
        verdicts.append(capsys.readouterr().out)
    assert verdicts[0] == verdicts[1]
    assert "wrong" in verdicts[0].splitlines()[-1]


def test_the_list_has_a_line_for_each_choice(capsys):
    assert main(["list"]) == 0
    text = capsys.readouterr().out
    for group in ("method", "protocol", "metric", "suite", "experiment"):
        for path in (ROOT / "conf" / group).glob("[!_]*.yaml"):
            assert any(
                line.split()[:1] == [f"{group}={path.stem}"] and len(line.split()) > 1
                for line in text.splitlines()
            ), f"{group}={path.stem} has no line with an explanation"


def test_the_list_shows_datasets_of_the_chosen_suite(capsys):
    shown = {}
    for suite in ("mini", "paper"):
        assert main(["list", "datasets", f"suite={suite}"]) == 0
        lines = capsys.readouterr().out.splitlines()[1:]
        shown[suite] = {line.split()[0].removeprefix("dataset=") for line in lines}
        here = {p.stem for p in (ROOT / "conf" / "in_suite" / "dataset" / suite).glob("[!_]*.yaml")}
        assert shown[suite] == here | {"folder"}
    assert shown["mini"] != shown["paper"]
    assert main(["list", "suite=huge"]) == 1
    assert main(["list", "mehtods"]) == 1
    assert "Did you mean methods?" in capsys.readouterr().err


@pytest.fixture
def own_yaml(tmp_path, monkeypatch):
    """A folder with a method and an experiment of the user's own."""
    (tmp_path / "code").mkdir()
    code = "from baselines.copy import Copy\n\n\nclass Method(Copy):\n    pass\n"
    (tmp_path / "code" / "method_of_mine.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path / "code")
    folder = tmp_path / "my conf"
    for group in ("method", "experiment"):
        (folder / group).mkdir(parents=True)
    text = (ROOT / "conf" / "method" / "copy.yaml").read_text()
    text = text.replace("name: copy", "name: mine")
    for name, target in {"mine": "method_of_mine.Method", "absent": "nowhere.Method"}.items():
        (folder / "method" / f"{name}.yaml").write_text(text.replace("baselines.copy.Copy", target))
    (folder / "experiment" / "tiny.yaml").write_text("# @package _global_\n# Very small.\nk: 3\n")
    return folder


@pytest.mark.parametrize("way", ["--config-dir={}", "hydra.searchpath=['file://{}']"])
def test_yaml_of_ones_own_counts_for_words(way, own_yaml, tmp_path, capsys):
    option = way.format(own_yaml)
    assert main(["list", option]) == 0
    text = capsys.readouterr().out
    assert "method=mine" in text and "Very small" in text
    words = ["method=mine", "dataset=babies", "experiment=tiny", f"results_dir={tmp_path}"]
    assert main(["runs", "why", *words, option]) == 0
    assert "would run" in capsys.readouterr().out
    assert main(["runs", "why", *words]) == 1
    assert "tiny" in capsys.readouterr().err


def test_a_method_that_cannot_be_imported_is_named(own_yaml, tmp_path, capsys):
    words = ["method=absent", "dataset=babies", f"results_dir={tmp_path}"]
    assert main(["runs", "why", *words, f"--config-dir={own_yaml}"]) == 1
    error = capsys.readouterr().err
    assert "nowhere.Method cannot be imported" in error and "PYTHONPATH" in error


def test_verify_composes_with_yaml_of_ones_own(few_records, own_yaml, capsys):
    (path, *others) = sorted((few_records / "runs").rglob("record.json"))
    for other in others:
        other.unlink()
    record = json.loads(path.read_text())
    record.pop("seal", None), record.pop("record_version", None)
    method = record["config"]["method"]
    record["method"] = method["card"]["name"] = "mine"
    method["_target_"] = "method_of_mine.Method"
    own = few_records / "runs" / "mini" / "mine" / "babies" / path.parent.name
    own.mkdir(parents=True)
    path.unlink()
    (own / "record.json").write_text(json.dumps(record))
    assert main(["report", "verify", str(few_records)]) == 1
    assert "FOREIGN" in (out := capsys.readouterr().out) and "method_of_mine.Method" in out
    main(["report", "verify", str(few_records), f"--config-dir={own_yaml}"])
    assert "foreign" not in (out := capsys.readouterr().out.lower()), out
    assert "cannot be computed" not in out and "do not compose" not in out


COMPLETION = """
eval "$(fsig-bench -sc install=bash)"
complete -p fsig-bench >/dev/null || exit 3
COMP_LINE=$1 COMP_POINT=${#1}
read -ra typed <<<"$1"
COMP_CWORD=$((${#typed[@]} - 1))
hydra_bash_completion
echo "${COMPREPLY[@]}"
"""


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash here")
@pytest.mark.parametrize(
    "typed, found",
    [
        ("fsig-bench method=gan_i", "method=gan_inversion"),
        ("fsig-bench method=crdi dataset=bab", "dataset=babies"),
        ("fsig-bench num_im", "num_images="),
    ],
)
def test_bash_completes_the_console_script(typed, found, tmp_path):
    script = tmp_path / "fsig-bench"  # what pip writes for [project.scripts]
    script.write_text(
        f"#!{sys.executable}\nimport sys\nfrom fsig_bench.__main__ import main\nsys.exit(main())\n"
    )
    script.chmod(0o755)
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    env["PATH"] = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", COMPLETION, "bash", typed],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        env=env,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [found]
    assert Path(script).exists() and not (tmp_path / "results").exists()
