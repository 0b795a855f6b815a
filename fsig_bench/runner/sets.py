"""Published target sets: from the addresses in a YAML to a checked folder with a manifest.

`fsig-bench prepare` and `fsig-bench report fill=true` bring sets into place with what is here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from fsig_bench.api.digests import check_at_rest
from fsig_bench.api.files import write_json
from fsig_bench.api.places import cache_folder
from fsig_bench.api.plain import Json, JsonDict
from fsig_bench.api.sources import bring
from fsig_bench.console import Bar, console
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


def link(source: Json) -> str:
    """The address of one role's archive, or of the folder that its files lie in."""
    return str(source.get("url") or f"{DRIVE}{source['gdrive']}")


def sources(origin: Json, role: str) -> list[JsonDict]:
    """The downloads of one role, in the order in which they are tried.

    An alternative with `files: true` is a folder that a server shows: each image has an address.
    """
    found = [dict(origin[role])] if origin[role] else []
    for other in origin["alternatives"]:
        if other["role"] == role and other.get("tried"):
            kept = {k: other[k] for k in ("inside", "sha256", "files") if k in other}
            found.append({"url": other["at"]} | kept)
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


def archive(
    name: str, role: str, origin: Json, names: Sequence[str] | None = None
) -> tuple[Path, str | None]:
    """The downloaded archive or folder of one role, and the folder in it that holds the images.

    Args:
        name: of the set.
        role: shots or reference.
        origin: where the set comes from, as its YAML says.
        names: of the files, for an alternative that is a folder of files.

    Raises:
        ValueError: it cannot be had; the message says how to import it by hand.
    """
    reasons: list[str] = []
    for number, source in enumerate(sources(origin, role)):
        target = downloaded(name, role, number, source)
        try:
            if source.get("files"):
                return fetch_files(source, target, names or (), f"{name} {role}"), None
            if not target.exists():
                fetch_archive(source, target, f"{name} {role}")
            check_at_rest(target, source.get("sha256"))
            if is_archive(target):
                return target, source.get("inside")
            reasons.append(f"{target} is no zip or tar; remove it, and it is fetched again")
        except (OSError, ValueError) as error:
            reasons.append(f"{link(source)} cannot be had ({' '.join(str(error).split())})")
    why = "; ".join(reasons) or f"no download of the {role} is known"
    raise ValueError(f"{why}. {by_hand(name, role, origin)}")


def downloaded(name: str, role: str, number: int, source: Json) -> Path:
    """Where the download of one source of a role lies in the cache."""
    url = link(source)
    # Several sets may come out of one archive of Drive.
    own = f"{name}-{role}{f'-{number}' if number else ''}"
    file = url.removeprefix(DRIVE).partition("/")[0] if url.startswith(DRIVE) else own
    return cache_folder() / "downloads" / file


def fetch_archive(source: Json, target: Path, what: str) -> None:
    """Brings an archive to `target`, whole or not at all."""
    with Bar(what, 1, "KiB") as bar:
        bring(
            [link(source)],
            target,
            sha256=source.get("sha256"),
            kind="archive",
            report=lambda have, total: bar.update(have >> 10, max(total >> 10, 1)),
            say=console.print,
        )


def fetch_files(source: Json, folder: Path, names: Sequence[str], what: str) -> Path:
    """Brings each file of a folder that a server shows; returns the folder that they are in here.

    Raises:
        OSError, ValueError: one of them cannot be had, or is another; those before it stay.
    """
    if not names:
        raise ValueError("the set lists no file names")
    digests = source.get("sha256", {})
    with Bar(what, len(names), "files") as bar:
        for count, name in enumerate(names, 1):
            if not (folder / name).exists():
                bring([f"{link(source)}/{name}"], folder / name, sha256=digests.get(name))
            check_at_rest(folder / name, digests.get(name))
            bar.update(count)
    return folder


def show_waiting(lock: Path) -> None:
    """Prints that another process writes what this one is about to write."""
    console.print(f"another process writes it; waiting until it ends (lock {lock})")


def folder_of(node: Json) -> Path:
    """Where a set is, or will be."""
    return Path(node["path"]).expanduser().parent


def is_prepared(node: Json) -> bool:
    """Whether a set is in place with every file as it was prepared.

    Raises:
        ValueError: it is there and has changed.
    """
    folder = folder_of(node)
    manifest = folder / "manifest.json"
    if not manifest.exists():
        return False
    if changed := differing(folder, json.loads(manifest.read_text())):
        raise ValueError(f"{folder} has changed: {'; '.join(changed)}. Delete it to start over")
    return True


def prepare_set(node: Json, given: Mapping[str, Path] | None = None) -> Path:
    """Downloads or imports a set whose licence has been accepted; returns its folder.

    Args:
        node: the dataset's part of a composed config.
        given: a role -> a folder, zip or tar of the user's own.

    Raises:
        ValueError, OSError: a download fails, or the images are not those of the set.
    """
    name, origin, given = node["name"], node["origin"], given or {}
    folder = folder_of(node)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "licence.txt").write_text(f"{origin['licence']}  ({origin['page']})\n")
    remarks: list[str] = []
    files, facts = {}, {}
    for role in ROLES:
        if role == "reference" and node["reference"] is None:
            continue
        remove_leftovers(folder / role)
        source = given.get(role)
        if source is None and (folder / role).is_dir():
            source = folder / role  # from an earlier call
        inside = (origin[role] or {}).get("inside")
        only = node["shots_list"] if role == "shots" else None
        if source is None:
            source, inside = archive(name, role, origin, only)

        def check(seen: Sequence[Seen], role: str = role) -> None:
            remarks.extend(remarks_on(role, seen, origin["images"][role], node["resolution"]))

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
    write_json(folder / "manifest.json", manifest_of(folder, facts_of_set))
    for remark in remarks:
        console.print(f"note: {remark}")
    console.print(f"manifest   {folder / 'manifest.json'}")
    return folder
