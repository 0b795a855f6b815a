"""Versions of the leaderboard: which tracks it has, and the hashes that they were frozen with.

A track is what numbers share: suite, protocol, k, number of samples, and the settings that go with
them. conf/leaderboard/VERSION.yaml lists the tracks of a version. Freezing computes the hash of
each track's protocol and writes it to <board>/VERSION/version.json. It never changes after that.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from dataclasses import fields as dataclass_fields
from pathlib import Path

from fsig_bench.api.assets import assets_in
from fsig_bench.api.places import CONF
from fsig_bench.api.plain import Json, JsonDict
from fsig_bench.api.version import __version__
from fsig_bench.help import nearest
from fsig_bench.report.board.sealed import exactly, moment, read_sealed, write_sealed
from fsig_bench.runner import checks, keys
from fsig_bench.runner.compose import compose_config
from fsig_bench.runner.resolve import plain_values
from fsig_bench.store.checks import (
    Check,
    fields,
    hexadecimal,
    line,
    listed,
    name,
    optional_text,
    text,
    whole,
)

FORMAT = 1  # of version.json
TRACK: dict[str, Check] = {
    "suite": name,
    "protocol": name,
    "k": whole(1, 10**9),
    "num_images": whole(2, 10**9),
    "datasets": listed(name),
    "settings": listed(line),
}
FROZEN = fields(
    {
        "format": exactly(FORMAT),
        "version": name,
        "frozen": moment,
        "fsig_bench": line,
        "git_commit": optional_text,
        "tracks": listed(
            fields({**TRACK, "hash": hexadecimal, "scored": whole(2, 10**9), "rules": text})
        ),
    }
)
DEFINITION = fields({"tracks": listed(fields(TRACK | {"k": listed(whole(1, 10**9))}))})
REMEDY = "restore it from version control"


@dataclass(frozen=True, kw_only=True)
class Track:
    """What numbers of one ranking share."""

    suite: str
    protocol: str
    k: int
    num_images: int
    datasets: tuple[str, ...]
    settings: tuple[str, ...]  # further words of the command line, which belong to the track

    @property
    def title(self) -> str:
        """The words that choose it."""
        words = f"suite={self.suite} protocol={self.protocol} k={self.k}"
        return f"{words} num_images={self.num_images}"

    def words(self, dataset: str) -> list[str]:
        """The words of a run on one of its datasets, without a method."""
        return [*self.title.split(" "), f"dataset={dataset}", *self.settings]


@dataclass(frozen=True, kw_only=True)
class FrozenTrack(Track):
    """A track with the hash that its protocol had when the version was frozen."""

    hash: str
    scored: int  # how many of the samples the protocol scores
    rules: str  # the file of conf/protocol in words: name and version


@dataclass(frozen=True, kw_only=True)
class Version:
    """A frozen version of the leaderboard."""

    name: str
    frozen: str  # when, ISO 8601
    fsig_bench: str  # the release whose code computes its hashes
    git_commit: str | None
    tracks: tuple[FrozenTrack, ...]

    @property
    def code(self) -> str:
        """The code that computes its hashes, in words."""
        commit = f", commit {self.git_commit[:10]}" if self.git_commit else ""
        return f"fsig_bench {self.fsig_bench}{commit}"


def defined_versions(config_dir: Path | None = None) -> dict[str, Path]:
    """The definitions of versions by name, oldest first; numbers in names count as numbers."""
    folders = [CONF, *([config_dir] if config_dir else [])]
    found = {p.stem: p for f in folders for p in (f / "leaderboard").glob("*.yaml")}
    return {key: found[key] for key in sorted(found, key=natural)}


def natural(text_: str) -> list[tuple[int, int, str]]:
    """A sorting key under which 2 stands before 10."""
    parts = re.findall(r"\d+|\D+", text_)
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts]


def defined_tracks(version: str, config_dir: Path | None = None) -> list[Track]:
    """The tracks of conf/leaderboard/VERSION.yaml.

    Raises:
        ValueError: there is no such file, or a field of it is wrong.
    """
    import yaml

    known = defined_versions(config_dir)
    if version not in known:
        hint = nearest(version, list(known)) or f" There are {', '.join(known) or 'none'}."
        raise ValueError(f"version={version}: there is no conf/leaderboard/{version}.yaml.{hint}")
    node = yaml.safe_load(known[version].read_text(encoding="utf-8"))
    if wrong := DEFINITION(node):
        raise ValueError(f"{known[version]} is not {wrong}")
    return [
        Track(
            suite=track["suite"],
            protocol=track["protocol"],
            k=k,
            num_images=track["num_images"],
            datasets=tuple(track["datasets"]),
            settings=tuple(track["settings"]),
        )
        for track in node["tracks"]
        for k in track["k"]
    ]


def track_config(track: Track, config_dir: Path | None = None) -> JsonDict:
    """What a track composes to here, on its first dataset and without a method."""
    return plain_values(compose_config(track.words(track.datasets[0]), config_dir=config_dir))


def hashed(track: Track, config_dir: Path | None = None) -> FrozenTrack:
    """A track with the hash that this code gives to its protocol.

    Raises:
        ValueError: it does not compose, or depends on a file whose digest is not known here.
    """
    config = track_config(track, config_dir)
    checks.check_protocol(config)
    protocol, scored = config["protocol"], checks.samples_to_score(config)
    absent = [a for a in assets_in(protocol) if a.sha256 is None and not a.target.exists()]
    if absent:
        raise ValueError(
            f"the hash of {track.title} depends on {absent[0].file}, whose digest is not known "
            "before it is fetched: score anything once under this protocol (fsig-bench score), "
            "which fetches it"
        )
    policy = config["precision"]["score"]
    found = keys.protocol_hash(protocol=protocol, num_scored=scored, precision=policy)
    rules = f"{protocol['name']} v{protocol.get('version', 0)}"
    own = {field.name: getattr(track, field.name) for field in dataclass_fields(Track)}
    return FrozenTrack(**own, hash=found, scored=scored, rules=rules)


def freeze(
    board: Path, version: str, *, when: str, commit: str | None, config_dir: Path | None = None
) -> Version:
    """Writes version.json of a version that is not frozen yet, and returns the version.

    Raises:
        ValueError: the version is frozen already, or a track's hash cannot be computed.
    """
    path = board / version / "version.json"
    if path.exists():
        raise ValueError(
            f"version {version} was frozen at {read_version(path).frozen} and never changes; for "
            "other rules write conf/leaderboard/NAME.yaml under a new name and freeze that"
        )
    tracks = [hashed(track, config_dir) for track in defined_tracks(version, config_dir)]
    value = {
        "format": FORMAT,
        "version": version,
        "frozen": when,
        "fsig_bench": __version__,
        "git_commit": commit,
        "tracks": [asdict(track) for track in tracks],
    }
    write_sealed(path, value)
    return read_version(path)


def read_version(path: Path) -> Version:
    """A frozen version from its file.

    Raises:
        ValueError: the file is damaged or lies in the folder of another version.
    """
    value = read_sealed(path, fits=FROZEN, remedy=REMEDY)
    if value["version"] != path.parent.name:
        raise ValueError(f"{path} is that of version {value['version']}; {REMEDY}")
    return Version(
        name=value["version"],
        frozen=value["frozen"],
        fsig_bench=value["fsig_bench"],
        git_commit=value["git_commit"],
        tracks=tuple(frozen_track(track) for track in value["tracks"]),
    )


def frozen_track(node: Json) -> FrozenTrack:
    """A track of version.json."""
    return FrozenTrack(
        suite=node["suite"],
        protocol=node["protocol"],
        k=node["k"],
        num_images=node["num_images"],
        datasets=tuple(node["datasets"]),
        settings=tuple(node["settings"]),
        hash=node["hash"],
        scored=node["scored"],
        rules=node["rules"],
    )


def frozen_versions(board: Path) -> list[Version]:
    """The frozen versions of a leaderboard, oldest first."""
    found = [read_version(path) for path in sorted(board.glob("*/version.json"))]
    return sorted(found, key=lambda version: (version.frozen, natural(version.name)))


def known_titles(tracks: Sequence[Track]) -> str:
    """The tracks that there are, for messages."""
    return "; ".join(track.title for track in tracks)
