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
NO_PICTURES = "The results folder has no pictures of this run."
STRIP_ONLY = (
    "Of this run only a strip of its first samples lies here; its other samples and its pictures "
    "do not."
)


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
        own = self._samples(record)
        sheet = strip = None
        if isinstance(own, str):
            strip, unusable = self._thumbnail(record)
            reasons = [own] if pictures else [NO_PICTURES, own]
            if strip and not pictures:
                reasons = [STRIP_ONLY, *([own] if own != NO_SAMPLES else [])]
            missing += reasons + unusable
        else:
            sheet, self.strips[record["run_id"]] = own
            self.sheets[record["run_id"]] = sheet
            missing += [] if pictures else [NO_PICTURES]
        if any(picture.name == "samples" for picture in pictures):
            strip = None  # the picture shows more of them
        shown = make_plot(folder, record, sheet, self.make) if folder else None
        stage = store.stage_folder(record, "adapt")
        lines = make_curves(read_curve(stage / "curve.jsonl")) if stage else []
        return {"pictures": pictures, "sheet": sheet, "strip": strip, "plot": shown,
                "curves": lines, "missing": missing}  # fmt: skip

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

    def _thumbnail(self, record: Record) -> tuple[Sheet | None, list[str]]:
        """Takes the strip beside the record; returns it, and why it cannot be used."""
        path = self.thumbnails.get(record["run_id"])
        if path is None:
            return None, []
        try:
            strip = copy_strip(path, self.write)
        except ValueError as error:
            return None, [str(error)]
        self.strips[record["run_id"]] = strip
        return strip, []

    def strip_of(self, record: Record) -> Sheet | None:
        """A run's first samples, once they were collected."""
        return self.strips.get(record["run_id"])

    def shots_of(self, record: Record) -> Sheet | str:
        """The shots of a run's target, or why they cannot be shown."""
        count = min(int(record["k"]), MOST_SHOTS)
        return self.make("shots", range(count), record)
