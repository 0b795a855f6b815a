"""A benchmark harness for few-shot image generation.

    import fsig_bench

    record = fsig_bench.run("method=crdi", "dataset=babies")
    values = fsig_bench.score("samples/", reference="held_out/", shots="shots/")
    table = fsig_bench.load_records("results")

Importing it takes milliseconds: torch and Hydra are imported when they are first needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fsig_bench.api.plain import JsonDict, Record
from fsig_bench.api.version import __version__

if TYPE_CHECKING:
    import pandas as pd

    from fsig_bench.runner.given_images import Given

__all__ = ["__version__", "load_records", "run", "score"]


def run(*overrides: str, config_dir: str | Path | None = None) -> Record:
    """One run, as `fsig-bench OVERRIDE ...` makes it, without its controls; returns its record.

    A run that is on disk is read, not made again. The record's folder, stages and pictures lie
    below `results_dir` (default: `results` in the current folder). Progress goes to the standard
    output. Hydra's global state stays as it was, so this works within a Hydra application, in a
    notebook, and any number of times.

    Args:
        *overrides: settings in Hydra's grammar: "method=crdi", "dataset=babies", "k=5", ... The
            values of a sweep ("seed=0,1") and `controls` are refused: call once for each run.
        config_dir: a folder with config groups of your own, as `--config-dir`.

    Returns:
        The fields of record.json, among them `metrics` (by name, each with a `value`), `timing_s`
        (in seconds), `config` and `environment`. results/README.md says what each field means.

    Raises:
        ValueError: a setting is wrong, or a file is damaged; the message names value and remedy.
        OSError: a file is missing and cannot be fetched, or there is no space.
    """
    from fsig_bench.runner.make import run_overrides

    return run_overrides(overrides, config_dir=config_dir)


def score(
    fake: Given,
    *,
    reference: Given | None = None,
    shots: Given | None = None,
    suite: str = "paper",
    protocol: str = "ours",
    metrics: Sequence[str] | None = None,
    resize: str = "center_pil_lanczos",
    seed: int = 0,
    device: str = "auto",
    batch_size: int = 50,
    overrides: Sequence[str] = (),
    config_dir: str | Path | None = None,
) -> dict[str, JsonDict]:
    """Metrics of images that were made anywhere, under a protocol of the harness.

    The networks are those of the suite: `paper` (the default) has Inception and LPIPS, for
    photographs at 256 x 256 pixels; `mini` has the reader of the rendered world at 64 x 64 pixels,
    whose numbers say nothing about photographs. Only the network files that the metrics use are
    fetched, to ~/.cache/fsig_bench or $FSIG_BENCH_CACHE.

    Args:
        fake: the samples: a folder, a list of files, or uint8 [n, 3, h, w] or [n, h, w, 3] (numpy
            or torch, 0 to 255) with h = w = the suite's side. Files may have any size.
        reference: held-out images of the target, likewise; without it, metrics that need one give
            no value. Images that equal a shot are left out.
        shots: the images that the method has seen, likewise; without them, metrics that need some
            give no value.
        suite: whose networks and resolution count.
        protocol: which metrics count, and how.
        metrics: names, of the protocol or of conf/metric; None: all of the protocol.
        resize: the recipe that brings files to the suite's side; it leaves files of that size as
            they are.
        seed: of the metrics' own draws.
        device: auto | cpu | cuda | cuda:N.
        batch_size: images at a time in a network; changes speed and memory only.
        overrides: further settings of suite and protocol ("protocol.samples=1000").
        config_dir: a folder with config groups of your own, as `--config-dir`.

    Returns:
        A dictionary for each metric, with `value` (a float in the metric's own unit; None with a
        `reason` where it needs what is not given), `extractor` (the network), `n_real`, `n_fake`,
        what the metric adds, and `protocol_hash`, as records state it (None while it depends on a
        file that is missing).

    Raises:
        ValueError: images that cannot be read or do not fit, an unknown suite, protocol or metric.
        FileNotFoundError: a network's file cannot be had; the message says its size and origin.
    """
    from fsig_bench.runner.score_files import score_images

    return score_images(
        fake,
        reference=reference,
        shots=shots,
        suite=suite,
        protocol=protocol,
        metrics=metrics,
        resize=resize,
        seed=seed,
        device=device,
        batch_size=batch_size,
        overrides=overrides,
        config_dir=config_dir,
    )


def load_records(folder: str | Path) -> pd.DataFrame:
    """Every record below a folder as a DataFrame, one row a record, sorted by suite and run id.

    Files that are damaged or no records are named on stderr and left out.

    Columns, in this order:
        suite, method, dataset, k, seed, subset, protocol, num_images, run_id: what names the run;
        one column a metric (fd, kid, intra_lpips, ...): its value, NaN where it is not defined;
        adapt_s, sample_s, score_s: seconds; peak_mem_gib: GiB; nfe_per_image, nfe_adapt: network
        evaluations; trained_params: a count;
        every setting of the run by its dotted key (method.lr, dataset.n_ref, precision.adapt, ...).

    Args:
        folder: a results folder, a folder of records such as results/reference, or a run's own.

    Raises:
        ValueError: there is no such folder, or no record in it that can be used.
    """
    from fsig_bench.report.dataframe import records_frame

    return records_frame(Path(folder))
