"""`fsig-bench prepare dataset=NAME`: brings a published target set into place, once.

    fsig-bench prepare dataset=babies accept_licence=true
    fsig-bench prepare dataset=babies shots=~/ten.zip reference=~/babies_full.zip

Downloads the set, or imports `shots` and `reference` from a folder, zip or tar of yours; checks
that every image decodes, and their number, size and range; reports near-duplicates of the shots in
the reference; leaves a manifest with the sha256 of every file, which every run checks. Runs leave
the shots and their near-duplicates out of the reference, unless a protocol wants the shots in.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fsig_bench.api.fetching import fetch
from fsig_bench.api.files import write_json
from fsig_bench.api.places import cache_folder
from fsig_bench.console import Bar, console, parse_words, run_word
from fsig_bench.data.importing import (
    ROLES,
    differing,
    import_images,
    is_archive,
    manifest_of,
    near_duplicates,
)
from fsig_bench.data.reading import Seen
from fsig_bench.data.remarks import remarks_on, sizes

KEYS = ("dataset", "suite", "shots", "reference", "accept_licence", "data_dir")


def described(given: Mapping[str, str], config_dir: Path | None = None) -> dict[str, Any]:
    """The dataset's part of the composed config.

    Raises:
        ValueError: there is no such set in the suite, or nothing to prepare.
    """
    from omegaconf import OmegaConf

    from fsig_bench.runner.compose import compose_config

    suite, name = given.get("suite", "paper"), given["dataset"]
    words = [f"suite={suite}", f"dataset={name}", "method=copy"]
    words += [f"data_dir={given['data_dir']}"] if "data_dir" in given else []
    cfg = compose_config(words, config_dir=config_dir)
    node: Any = OmegaConf.to_container(cfg.dataset, resolve=True)
    if "origin" not in node:
        raise ValueError(f"dataset={name} of suite={suite} needs no preparation")
    return dict(node)


def accepted(origin: Mapping[str, Any], answer: str | None, note: Path) -> bool:
    """Whether the user takes the set under its licence; asked once, as `note` remembers."""
    terms = f"{origin['licence']}  ({origin['page']})"
    console.print(f"licence: {terms}", soft_wrap=True)
    if answer is not None:
        return answer.lower() in ("true", "yes", "1")
    if note.exists() and note.read_text().strip() == terms:
        console.print("accepted before")
        return True
    if not sys.stdin.isatty():
        raise ValueError("say accept_licence=true if you may use the images under this licence")
    return input("Use it under these terms? [y/N] ").strip().lower() in ("y", "yes")


def link(source: Mapping[str, Any]) -> str:
    """Where a person finds one role's archive."""
    return str(source.get("url") or f"https://drive.google.com/file/d/{source['gdrive']}")


def by_hand(name: str, role: str, origin: Mapping[str, Any]) -> str:
    """What to do where there is no download: every other place that is known, and the command."""
    others = [a["at"] + f" ({a['what']})" for a in origin["alternatives"] if a["role"] == role]
    listed = "".join(f"\n  {place}" for place in [origin["page"], *others])
    return (
        f"Get it by hand; places that are known, none of them tried here:{listed}\n"
        f"then run: fsig-bench prepare dataset={name} {role}=FOLDER_OR_ZIP_OR_TAR"
    )


def archive(name: str, role: str, origin: Mapping[str, Any]) -> Path:
    """The downloaded archive of one role.

    Raises:
        ValueError: it cannot be had; the message says how to import it by hand.
    """
    source = origin[role]
    if source is None:
        raise ValueError(f"no download of the {role} is known. {by_hand(name, role, origin)}")
    # Several sets may come out of one archive.
    target = cache_folder() / "downloads" / source.get("gdrive", f"{name}-{role}")
    try:
        if not target.exists():
            download(source, target, f"{name} {role}")
        if not is_archive(target):
            size = target.stat().st_size
            target.unlink()  # else every later call would find it again
            raise ValueError(f"it gave {size} bytes that are no zip or tar")
    except ImportError as error:
        raise ValueError(
            "Google Drive needs gdown: pip install 'fsig-bench[drive]'. Or: "
            + by_hand(name, role, origin)
        ) from error
    except Exception as error:  # gdown raises its own kinds
        why = " ".join(str(error).split())
        raise ValueError(
            f"{link(source)} cannot be had ({why}). {by_hand(name, role, origin)}"
        ) from error
    return target


def download(source: Mapping[str, Any], target: Path, what: str) -> None:
    """Brings an archive to `target`, whole or not at all."""
    if "url" in source:
        with Bar(what, 1, "KiB") as bar:
            fetch(
                source["url"],
                target,
                sha256=source.get("sha256"),
                report=lambda have, total: bar.update(have >> 10, max(total >> 10, 1)),
            )
        return
    import gdown

    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f"{target.name}.part")
    gdown.download(id=source["gdrive"], output=str(part), quiet=not console.is_terminal)
    part.replace(target)


def prepare(words: Sequence[str]) -> Path:
    """Downloads or imports the set, checks it and writes its manifest; returns its folder.

    Raises:
        ValueError, OSError: an unknown word, or images that are not those of the set.
    """
    given_words = parse_words(words, word="prepare", keys=KEYS, positional=())
    found = given_words.settings
    if "dataset" not in found:
        raise ValueError("choose a set: fsig-bench prepare dataset=babies")
    node = described(found, given_words.config_dir)
    name, origin = node["name"], node["origin"]
    folder = Path(node["path"]).expanduser().parent
    manifest = folder / "manifest.json"
    if manifest.exists() and not {"shots", "reference"} & set(found):
        if changed := differing(folder, json.loads(manifest.read_text())):
            raise ValueError(f"{folder} has changed: {'; '.join(changed)}. Delete it to start over")
        console.print(f"{folder} is prepared, every file as it was; delete it to start over")
        return folder
    note = folder / "licence.txt"
    if not accepted(origin, found.get("accept_licence"), note):
        raise ValueError("the licence was not accepted; nothing was written")
    folder.mkdir(parents=True, exist_ok=True)
    note.write_text(f"{origin['licence']}  ({origin['page']})\n")
    remarks: list[str] = []
    files, facts = {}, {}
    for role in ROLES:
        if role == "reference" and node["reference"] is None:
            continue
        given = found.get(role)
        source = Path(given).expanduser() if given else None
        if source is None and (folder / role).is_dir():
            source = folder / role  # from an earlier call
        if source is None:
            source = archive(name, role, origin)

        def check(seen: Sequence[Seen], role: str = role) -> None:
            remarks.extend(remarks_on(role, seen, origin["images"][role], node["resolution"]))

        only = node["shots_list"] if role == "shots" else None
        files[role], seen = import_images(
            source, folder / role, only=only, inside=(origin[role] or {}).get("inside"), check=check
        )
        facts[role] = sizes(seen)
        console.print(f"{role:<10} {len(files[role])} images in {folder / role}")
    twins = near_duplicates(files["shots"], files.get("reference", []))
    if twins:
        shown = "; ".join(f"{shot} ~ {', '.join(names[:3])}" for shot, names in twins.items())
        remarks.append(
            f"{len(twins)} shots are in the reference too, and left out of it unless a protocol "
            f"wants them: near-duplicates {shown}"
        )
    facts_of_set = {"dataset": name, "licence": origin["licence"], "page": origin["page"]}
    facts_of_set |= {"near_duplicates": twins, "remarks": remarks, "sizes": facts}
    write_json(manifest, manifest_of(folder, facts_of_set))
    for remark in remarks:
        console.print(f"note: {remark}")
    console.print(f"manifest   {manifest}")
    return folder


def main(words: Sequence[str]) -> int:
    """`prepare` as a word of the command line."""
    prepare(words)
    return 0


if __name__ == "__main__":
    sys.exit(run_word("prepare", main))
