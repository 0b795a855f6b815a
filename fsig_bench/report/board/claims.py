"""What a run has to be before its samples are looked at: of a track of the version, and whole."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from fsig_bench.api.plain import JsonDict, Record
from fsig_bench.report.board.versions import FrozenTrack, Version, hashed, known_titles
from fsig_bench.report.rerun import departures
from fsig_bench.report.variants import protocol_differences
from fsig_bench.runner.compose import compose_config
from fsig_bench.runner.resolve import plain_values
from fsig_bench.store.keys import NOT_IN_KEY

PLACE = (*NOT_IN_KEY, "data_dir", "path", "files", "fresh")  # where images lie, and controls' own


def name_of(record: Record) -> str:
    """A run as messages name it."""
    parts = "/".join(str(record[key]) for key in ("suite", "method", "dataset"))
    return f"{parts} seed={record['seed']} ({record['run_id']})"


def track_of(record: Record, version: Version, config_dir: Path | None = None) -> FrozenTrack:
    """The track that a record belongs to.

    Raises:
        ValueError: there is none, or its rules, images or metrics are not those of the track; the
            message names the value and the remedy.
    """
    own = tuple(record[key] for key in ("suite", "protocol", "k", "num_images"))
    tracks = [t for t in version.tracks if own == (t.suite, t.protocol, t.k, t.num_images)]
    if not tracks:
        words = f"suite={own[0]} protocol={own[1]} k={own[2]} num_images={own[3]}"
        raise ValueError(
            f"{name_of(record)}: version {version.name} has no track {words}; it has "
            f"{known_titles(version.tracks)}. Hand in a run of one of them"
        )
    (track,) = tracks
    if record["dataset"] not in track.datasets:
        raise ValueError(
            f"{name_of(record)}: the track {track.title} has no dataset={record['dataset']}; it "
            f"has {', '.join(track.datasets)}. Hand in a run on one of them"
        )
    check_rules(record, track, version, config_dir)
    return track


def check_rules(
    record: Record, track: FrozenTrack, version: Version, config_dir: Path | None
) -> None:
    """Raises ValueError where a record was not scored under the rules of a track."""
    hashes = {record.get("protocol_hash"), *(m.get("protocol_hash") for m in all_metrics(record))}
    config = composed(tuple(track.words(record["dataset"])), config_dir)
    if strange := sorted(str(h) for h in hashes - {track.hash}):
        fields = protocol_differences(record, {"config": config, "num_images": track.num_images})
        differs = [f for f in fields if not f.startswith("sha256 of")]
        why = f"fields that differ (its own / the version's): {', '.join(differs[:4])}"
        if not differs:
            why = "its settings are those of the track, so the code or the weights are others"
        raise ValueError(
            f"{name_of(record)}: it was scored under the protocol hash {strange[0]}, and version "
            f"{version.name} is frozen at {track.hash} for {track.title}; {why}. Score it again "
            f"under the version's rules, with {version.code}"
        )
    wanted, given = {*config["protocol"]["metrics"]}, {*record["metrics"]}
    if wanted != given:
        odd = sorted(wanted ^ given)[0]
        state = "is missing" if odd in wanted else "is not of the protocol"
        raise ValueError(
            f"{name_of(record)}: the metric {odd} {state}; hand in the record as the run left it"
        )
    counts = {n for m in all_metrics(record) if (n := m.get("n_fake")) is not None}
    if any(n > track.scored for n in counts):
        raise ValueError(
            f"{name_of(record)}: it scores {max(counts)} samples, and {track.title} scores "
            f"{track.scored}; run it with the track's settings"
        )
    check_images(record, track, config)


def check_images(record: Record, track: FrozenTrack, config: JsonDict) -> None:
    """Raises ValueError where the dataset or the suite has other settings than the track's."""
    settings = record["config"]
    for part in ("dataset", "suite"):
        mine = settings.get(part) or {}
        own = {k: v for k, v in mine.items() if k not in PLACE}
        track_s = {k: v for k, v in config[part].items() if k not in PLACE}
        keys = ("resolution",) if part == "suite" else sorted({*own, *track_s})
        other = [
            word
            for key in keys
            for word in departures(own.get(key), track_s.get(key), f"{part}.{key}", deletes=True)
            if not set(word.partition("=")[0].split(".")) & {*PLACE}
        ]
        if other:
            raise ValueError(
                f"{name_of(record)}: it has {other[0]}, which the track {track.title} has not; run "
                "it again without this setting"
            )


def all_metrics(record: Record) -> list[JsonDict]:
    """The metrics of a record, in its order."""
    return list(record["metrics"].values())


@lru_cache(maxsize=256)
def composed(words: tuple[str, ...], config_dir: Path | None) -> JsonDict:
    """What words give here, without a method; not to be changed."""
    return plain_values(compose_config(words, config_dir=config_dir))


def check_code(track: FrozenTrack, version: Version, config_dir: Path | None = None) -> None:
    """Raises ValueError where this code scores a track under other rules than the version's."""
    here = hashed(track, config_dir).hash
    if here != track.hash:
        raise ValueError(
            f"this code gives {track.title} the protocol hash {here}, and version {version.name} "
            f"is frozen at {track.hash}: check out {version.code}, or freeze a new version "
            "(fsig-bench leaderboard freeze version=NAME)"
        )


def group_by_track(
    records: Mapping[str, Record], version: Version, config_dir: Path | None = None
) -> tuple[dict[str, FrozenTrack], dict[str, str]]:
    """For each record by its name its track; and for those without one why.

    Args:
        records: by any name.
        version: whose tracks.
        config_dir: a folder of YAML of the user's own.
    """
    found: dict[str, FrozenTrack] = {}
    refused: dict[str, str] = {}
    for key, record in records.items():
        try:
            found[key] = track_of(record, version, config_dir)
        except ValueError as error:
            refused[key] = str(error)
    return found, refused
