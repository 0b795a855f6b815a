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

from fsig_bench.api.digests import check_at_rest
from fsig_bench.api.fetching import Wanted, accept, fetch
from fsig_bench.api.files import write_json
from fsig_bench.api.owners import exclusive, own_path
from fsig_bench.api.parts import drop
from fsig_bench.api.places import cache_folder
from fsig_bench.api.plain import Json, JsonDict
from fsig_bench.console import Bar, console, parse_words, run_word
from fsig_bench.data.archives import is_archive
from fsig_bench.data.importing import (
    ROLES,
    differing,
    import_images,
    manifest_of,
    near_duplicates,
    remove_leftovers,
)
from fsig_bench.data.reading import Seen
from fsig_bench.data.remarks import remarks_on, sizes

DRIVE = "https://drive.google.com/file/d/"
KEYS = ("dataset", "suite", "shots", "reference", "accept_licence", "data_dir")


def described(given: Mapping[str, str], config_dir: Path | None = None) -> JsonDict:
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


def accepted(origin: Json, answer: str | None, note: Path) -> bool:
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


def link(source: Json) -> str:
    """Where a person finds one role's archive."""
    return str(source.get("url") or f"{DRIVE}{source['gdrive']}")


def sources(origin: Json, role: str) -> list[JsonDict]:
    """The downloads of one role's archive, in the order in which they are tried."""
    found = [dict(origin[role])] if origin[role] else []
    for other in origin["alternatives"]:
        if other["role"] == role and other.get("tried"):
            at = other["at"]
            place = {"gdrive": at.removeprefix(DRIVE)} if at.startswith(DRIVE) else {"url": at}
            found.append(place | {k: other[k] for k in ("inside", "sha256") if k in other})
    return found


def by_hand(name: str, role: str, origin: Json) -> str:
    """What to do where no download works: every other place that is known, and the command."""
    others = [
        a["at"] + f" ({a['what']})"
        for a in origin["alternatives"]
        if a["role"] == role and not a.get("tried")
    ]
    listed = "".join(f"\n  {place}" for place in [origin["page"], *others])
    return (
        f"Get it by hand; other places that are known, none of them tried here:{listed}\n"
        f"then run: fsig-bench prepare dataset={name} {role}=FOLDER_OR_ZIP_OR_TAR"
    )


def archive(name: str, role: str, origin: Json) -> tuple[Path, str | None]:
    """The downloaded archive of one role, and the folder in it that holds the images.

    Raises:
        ValueError: it cannot be had; the message says how to import it by hand.
    """
    reasons: list[str] = []
    for number, source in enumerate(sources(origin, role)):
        # Several sets may come out of one archive.
        file = source.get("gdrive") or f"{name}-{role}{f'-{number}' if number else ''}"
        target = cache_folder() / "downloads" / file
        try:
            if not target.exists():
                download(source, target, f"{name} {role}")
            check_at_rest(target, source.get("sha256"))
            if is_archive(target):
                return target, source.get("inside")
            reasons.append(f"{target} is no zip or tar; remove it, and it is fetched again")
        except ImportError:
            reasons.append("Google Drive needs gdown: pip install 'fsig-bench[drive]'")
        except Exception as error:  # gdown raises its own kinds
            reasons.append(f"{link(source)} cannot be had ({' '.join(str(error).split())})")
    why = "; ".join(reasons) or f"no download of the {role} is known"
    raise ValueError(f"{why}. {by_hand(name, role, origin)}")


def download(source: Json, target: Path, what: str) -> None:
    """Brings an archive to `target`, whole or not at all."""
    if "url" in source:
        with Bar(what, 1, "KiB") as bar:
            fetch(
                source["url"],
                target,
                sha256=source.get("sha256"),
                kind="archive",
                report=lambda have, total: bar.update(have >> 10, max(total >> 10, 1)),
                say=lambda line: console.print(line, markup=False),
            )
        return
    import gdown

    part = own_path(target, "part")
    wanted = Wanted(url=link(source), sha256=source.get("sha256"), kind="archive", mib=None)
    with exclusive(target, waiting=show_waiting):
        if target.exists():
            return
        try:
            gdown.download(id=source["gdrive"], output=str(part), quiet=not console.is_terminal)
            accept(part, target, wanted, length_known=False)
        finally:
            drop(part)


def show_waiting(lock: Path) -> None:
    """Prints that another process writes what this one is about to write."""
    console.print(f"another process writes it; waiting until it ends (lock {lock})", markup=False)


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
    if folder.is_dir():
        for role in ROLES:
            remove_leftovers(folder / role)
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
        inside = (origin[role] or {}).get("inside")
        if source is None:
            source, inside = archive(name, role, origin)

        def check(seen: Sequence[Seen], role: str = role) -> None:
            remarks.extend(remarks_on(role, seen, origin["images"][role], node["resolution"]))

        only = node["shots_list"] if role == "shots" else None
        files[role], seen = import_images(
            source, folder / role, only=only, inside=inside, check=check, waiting=show_waiting
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
