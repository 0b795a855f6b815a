"""The words that a user types: paths, words that nothing reads, Hydra's errors in a sentence."""

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from fsig_bench.runner.typed import check_words, quote_paths, split_sweep

PATHS = ["~/photos", "~", "~me/x", "/a b/c", "/a[1]", "/a,b", "/a=b", "/fotos/ü", "it's", "#1"]
PATHS += ['say "x"', "2024", "true", "C:\\x", "back\\", "a\\'b", "/a(1)", "/x@y", "{x}", "/tmp/$x"]
PATHS += ["a&b;c", "-"]


@pytest.mark.parametrize("path", PATHS)
def test_hydra_reads_a_quoted_path_as_it_was_typed(path):
    for key in ("dataset.path", "+dataset.reference", "method.images.files"):
        (word,) = quote_paths([f"{key}={path}"])
        assert OverridesParser.create().parse_override(word).value() == path


@pytest.mark.parametrize(
    "word",
    [
        "dataset.path='~/a b'",
        "dataset.path=[a,b]",
        "dataset.path=${data_dir}/x",
        "dataset.reference=null",
        "protocol.reference=held_out",
        "seed=0,1",
        "method.lr=~/x",
        "weights",
        "-m",
    ],
)
def test_what_hydra_reads_as_meant_stays(word):
    assert quote_paths([word]) == [word]


def test_a_sweep_over_paths_stays_a_sweep():
    words = ["dataset.path=~/a,/b c/d,e", "dataset.path=a,b"]
    found = quote_paths(words, sweep=True)
    assert found == ["dataset.path='~/a',/b c/d,e", "dataset.path=a,b"]
    (override,) = OverridesParser.create().parse_overrides(found[:1])
    assert [str(v) for v in override.sweep_string_iterator()] == ["'~/a'", "/b\\ c/d", "e"]


def test_the_results_folder_is_expanded(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    words = ["results_dir=~/out dir", "--config-dir=~/conf", "results_dir=a~b"]
    expected = ["results_dir=/home/me/out dir", "--config-dir=/home/me/conf", "results_dir='a~b'"]
    assert quote_paths(words) == expected


def test_settings_of_a_method_are_left_to_the_cells_of_a_sweep():
    words = ["-m", "method=crdi,copy", "k=5", "~method.x", "+metric@protocol.metrics.x=y"]
    cells = ["method.lr=1", "+method.a=[1,2]", "method/objective=paper", "dataset.path='~/a'"]
    assert split_sweep([*words, *cells]) == (words, cells)


def refusal(*words):
    with pytest.raises(ValueError) as error:
        check(*words)
    return str(error.value)


def check(*words):
    check_words(
        words,
        keys=["num_images", "seed", "k", "method", "dataset", "precision", "protocol"],
        fixed={"precision": ["adapt", "sample"]}.__getitem__,
        is_group=["method", "dataset", "mine", "protocol"].__contains__,
        is_read=["by_yaml"].__contains__,
    )


def test_additions_that_nothing_reads_are_refused():
    assert refusal("+num_image=10") == (
        "+num_image=10: nothing reads num_image; leave it out. Did you mean num_images?"
    )
    assert "+foo=1" in refusal("k=3", "+foo=1")
    assert "foo" in refusal("++foo.bar=1")
    assert "adapt, sample" in refusal("+precision.adpt=fp32")


def test_what_a_run_needs_cannot_be_removed():
    assert "~k: every run needs k" in refusal("~k")


def test_additions_that_something_reads_pass():
    check(
        "+metric@protocol.metrics.x=y", "+dataset.x=1", "+mine=a", "+hydra.job.x=1", "num_image=1"
    )
    check("+foo=1", "k=${foo}")
    check("+by_yaml=1", "~protocol.metrics.kid", "~method", "-m", "--config-dir=x")


@pytest.mark.parametrize(
    "word, remedy",
    {
        "precision=bf16": "precision.adapt=bf16",
        "figures=none": "figures.embedding=pca",
        "suite.source=mine": "suite/source=NAME",
        "suite.generator=null": "suite.generator.weights=FILE",
        "protocol.metrics=[fd,kid]": "~protocol.metrics.NAME",
    }.items(),
)
def test_one_value_in_the_place_of_several_settings_is_refused(word, remedy):
    message = refusal("k=3", word)
    assert message.startswith(f"{word}: ") and remedy in message


def test_settings_within_such_a_place_pass():
    check("precision.adapt=bf16", "precision={adapt:bf16}", "~protocol.metrics.kid")
