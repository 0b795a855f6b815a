"""All that a config needs and does not find here: files, image sets, packages, values.

Everything is looked for before anything is reported, so that one list has it all.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from fsig_bench.api.assets import Asset, assets_in
from fsig_bench.api.digests import check_at_rest
from fsig_bench.api.plain import Json, JsonDict
from fsig_bench.api.sources import missing_package
from fsig_bench.runner.sets import by_hand, downloaded, folder_of, is_prepared, link, sources
from fsig_bench.runner.targets import named_targets

# What networks of ours import when they are built, and the extra that installs it.
PACKAGES = {
    "fsig_bench.networks.perceptual.LPIPS": (("lpips", "torchvision"), "paper"),
    "fsig_bench.networks.inception.Inception": (("torchvision",), "paper"),
    "fsig_bench.networks.vgg.VGGFc2": (("torchvision",), "paper"),
    "fsig_bench.networks.vision.VisionTransformer": (("transformers",), "vision"),
}


@dataclass(frozen=True, kw_only=True)
class Download:
    """One archive or folder of a set's images that is to be fetched."""

    what: str  # such as "babies shots"
    url: str
    sha256: str | None
    others: int  # how many other addresses are tried after it

    def __str__(self) -> str:
        more = f", or {self.others} other address{'es' * (self.others > 1)}" if self.others else ""
        known = f"sha256 {self.sha256}..." if self.sha256 else "sha256 not known here"
        return f"{self.what} (size not known, {known}, from {self.url}{more})"


@dataclass(frozen=True, kw_only=True)
class Needs:
    """What is missing, each once."""

    assets: tuple[Asset, ...] = ()  # files that can be fetched
    sets: tuple[JsonDict, ...] = ()  # datasets that can be fetched and prepared, as YAML values
    packages: tuple[str, ...] = ()  # sentences: what to install
    by_hand: tuple[str, ...] = ()  # sentences: what only a person can do

    @property
    def is_met(self) -> bool:
        """Whether nothing is missing."""
        return not (self.assets or self.sets or self.packages or self.by_hand)

    def lines(self) -> list[str]:
        """One line for each thing that is missing."""
        lines = [f"to fetch  {asset}" for asset in self.assets]
        for node in self.sets:
            origin = node["origin"]
            lines.append(
                f"prepare   dataset={node['name']} into {folder_of(node)} (licence: "
                f"{origin['licence']}; from {origin['page']})"
            )
            lines += [f"          {download}" for download in downloads(node)]
        lines += [f"install   {sentence}" for sentence in self.packages]
        return lines + [f"by hand   {sentence}" for sentence in self.by_hand]


def roles(node: Json) -> list[str]:
    """The roles of a set that have images."""
    return ["shots"] if node["reference"] is None else ["shots", "reference"]


def downloads(node: Json) -> list[Download]:
    """What is to be fetched of a set, its roles in order; an archive of two roles comes once."""
    found: dict[str, Download] = {}
    for role in roles(node):
        places = sources(node["origin"], role)
        if not places or (folder_of(node) / role).is_dir():
            continue
        first, name = places[0], node["name"]
        if first.get("files") or not downloaded(name, role, 0, first).exists():
            known = first.get("sha256") if isinstance(first.get("sha256"), str) else None
            found.setdefault(
                link(first),
                Download(
                    what=f"{name} {role}", url=link(first), sha256=known, others=len(places) - 1
                ),
            )
    return list(found.values())


def needs_of(configs: Sequence[DictConfig], *, verify: bool) -> Needs:
    """What the runs of some composed configs lack.

    Args:
        configs: of the runs.
        verify: whether files that are there are hashed, which takes time for large ones, and
            compared with the digests that are known.
    """
    assets: dict[Asset, None] = {}
    sets: dict[str, JsonDict] = {}
    packages: dict[str, None] = {}
    hand: dict[str, None] = {}
    for cfg in configs:
        for key in sorted(OmegaConf.missing_keys(cfg)):
            if not key.startswith("hydra"):
                hand[f"{key} has no value: give one on the command line, {key}=..."] = None
        config: JsonDict = {}
        for part in ("method", "protocol", "dataset"):
            with suppress(OmegaConfBaseException):  # it refers to a value that is missing, as noted
                if cfg.get(part) is not None:
                    config[part] = OmegaConf.to_container(cfg[part], resolve=True)
        used = [config.get("method"), config.get("protocol")]
        for asset in assets_in(used):
            if sentence := _fault(asset, verify=verify):
                hand[sentence] = None
            elif not asset.target.exists():
                assets[asset] = None
                if asset.urls and all(missing_package(u) for u in asset.urls):
                    packages[str(missing_package(asset.urls[0]))] = None
        for target in named_targets(used):
            names, extra = PACKAGES.get(target, ((), ""))
            for name in names:
                if find_spec(name) is None:
                    what = target.rpartition(".")[2]
                    packages[f"{what} needs {name}: pip install 'fsig-bench[{extra}]'"] = None
        node = config.get("dataset")
        if isinstance(node, dict) and "origin" in node:
            _look_at_set(node, sets, packages, hand)
    return Needs(
        assets=tuple(assets),
        sets=tuple(sets.values()),
        packages=tuple(packages),
        by_hand=tuple(hand),
    )


def _fault(asset: Asset, *, verify: bool) -> str | None:
    """Why a file cannot be used or fetched; None: it is right, or can be fetched."""
    if not asset.target.exists():
        if asset.path:
            return f"{asset.target} does not exist; give another path of {asset.file}"
        return None if asset.urls else f"put {asset.file} at {asset.target}; see {asset.page}"
    try:
        if verify:
            check_at_rest(asset.target, asset.sha256)
    except (ValueError, OSError) as error:
        return str(error)
    return None


def _look_at_set(
    node: JsonDict, sets: dict[str, JsonDict], packages: dict[str, None], hand: dict[str, None]
) -> None:
    """Notes what a prepared set lacks."""
    try:
        if is_prepared(node):
            return
    except ValueError as error:
        hand[str(error)] = None
        return
    name, origin = str(node["name"]), node["origin"]
    absent = [role for role in roles(node) if not Path(folder_of(node) / role).is_dir()]
    unknown = [role for role in absent if not sources(origin, role)]
    for role in unknown:
        hand[f"the {role} of {name}. {by_hand(name, role, origin)}"] = None
    if not unknown:
        sets[name] = node
        for role in absent:
            reasons = [missing_package(link(source)) for source in sources(origin, role)]
            if all(reasons):
                packages[str(reasons[0])] = None
