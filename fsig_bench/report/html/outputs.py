"""What a run left on disk, for its page: figures, samples, plot, curves; or why it is missing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from fsig_bench.api.plain import JsonDict, Record
from fsig_bench.pictures.strip import STRIP
from fsig_bench.report.html.pictures import (
    PICTURES,
    Sheet,
    Writer,
    copy_pictures,
    copy_strip,
    first_samples,
    make_sheet,
)
from fsig_bench.report.html.plots import make_curves
from fsig_bench.report.html.tsne import MakeSheet, make_plot
from fsig_bench.store.curve import read_curve
from fsig_bench.store.store import Store

MOST_SHOTS = 10  # in a strip
NO_SAMPLES = "The results folder has no samples of this run."


@dataclass(kw_only=True)
class Outputs:
    """Reads the files of runs, each once."""

    results: Path
    thumbnails: Mapping[str, Path]  # run id -> the strip beside its record
    write: Writer
    make: MakeSheet
    sheets: dict[str, Sheet] = field(default_factory=dict)  # by run id
    strips: dict[str, Sheet] = field(default_factory=dict)  # by run id
    known: dict[str, tuple[Sheet, Sheet] | str] = field(default_factory=dict)  # by samples

    def collect(self, record: Record) -> JsonDict:
        """All that the run's page shows of them."""
        store, missing = Store(self.results), []
        folder = store.run_folder(record)
        pictures, wrong = copy_pictures(list(PICTURES), folder, self.write) if folder else ([], [])
        missing += wrong
        if not pictures:
            missing.append("The results folder has no pictures of this run.")
        own = self._samples(record)
        if isinstance(own, str):
            missing.append(own)
            missing += self._thumbnail(record)
        else:
            self.sheets[record["run_id"]], self.strips[record["run_id"]] = own
        sheet = None if isinstance(own, str) else own[0]
        shown = make_plot(folder, record, sheet, self.make) if folder else None
        stage = store.stage_folder(record, "adapt")
        lines = make_curves(read_curve(stage / "curve.jsonl")) if stage else []
        return {"pictures": pictures, "sheet": sheet, "plot": shown, "curves": lines,
                "missing": missing}  # fmt: skip

    def _samples(self, record: Record) -> tuple[Sheet, Sheet] | str:
        """A sheet and a strip of the run's samples, or why there are none."""
        key = f"{record.get('stages', {}).get('sample', '')}/{record['num_images']}"
        if key not in self.known:
            try:
                samples = first_samples(self.results, record)
                self.known[key] = NO_SAMPLES if samples is None else (
                    make_sheet(samples, self.write),
                    make_sheet(samples[:STRIP], self.write),
                )  # fmt: skip
            except (ValueError, OSError) as error:
                self.known[key] = str(error).replace(f"{self.results}/", "")
        return self.known[key]

    def _thumbnail(self, record: Record) -> list[str]:
        """Takes the strip beside the record; returns why it cannot be used."""
        path = self.thumbnails.get(record["run_id"])
        if path is None:
            return []
        try:
            self.strips[record["run_id"]] = copy_strip(path, self.write)
        except ValueError as error:
            return [str(error)]
        return []

    def strip_of(self, record: Record) -> Sheet | None:
        """A run's first samples, once they were collected."""
        return self.strips.get(record["run_id"])

    def shots_of(self, record: Record) -> Sheet | str:
        """The shots of a run's target, or why they cannot be shown."""
        count = min(int(record["k"]), MOST_SHOTS)
        return self.make("shots", range(count), record)
