"""`python -m fsig_bench.prepare dataset=NAME`: brings a published target set into place, once.

    python -m fsig_bench.prepare dataset=babies accept_licence=true
    python -m fsig_bench.prepare dataset=babies shots=~/ten.zip reference=~/babies_full.zip

Downloads the set, or imports `shots` and `reference` from a folder, zip or tar of yours; checks
that every image decodes and that there are as many as there should be; reports near-duplicates of
the shots in the reference; leaves a manifest with the sha256 of every file. Runs leave the shots
out of the reference by themselves, unless a protocol wants them in.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fsig_bench.assets import ROOT
from fsig_bench.console import Bar, console
from fsig_bench.data.importing import import_images, near_duplicates, write_manifest
from fsig_bench.download import cache_folder, fetch

KEYS = ("dataset", "suite", "shots", "reference", "accept_licence", "data_dir")


def choices(words: Sequence[str]) -> dict[str, str]:
    """key=value words as a mapping.

    Raises:
        ValueError: an unknown word, or no dataset.
    """
    found = {key: value for key, _, value in (w.partition("=") for w in words)}
    if unknown := sorted(set(found) - set(KEYS)):
        raise ValueError(f"unknown {unknown}; there are {', '.join(f'{k}=' for k in KEYS)}")
    if "dataset" not in found:
        raise ValueError("say which: python -m fsig_bench.prepare dataset=babies")
    return found


def described(found: Mapping[str, str]) -> dict[str, Any]:
    """The dataset's node of the composed configuration.

    Raises:
        ValueError: there is no such set in the suite, or nothing to prepare.
    """
    from hydra import compose, initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra
    from hydra.errors import HydraException
    from omegaconf import OmegaConf

    suite, name = found.get("suite", "paper"), found["dataset"]
    words = [f"suite={suite}", f"dataset={name}", "method=copy"]
    words += [f"data_dir={found['data_dir']}"] if "data_dir" in found else []
    try:
        GlobalHydra.instance().clear()
        with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
            cfg = compose("config", words)
    except HydraException as error:
        raise ValueError(f"dataset={name}: {str(error).splitlines()[0]}") from error
    node: Any = OmegaConf.to_container(cfg.dataset, resolve=True)
    if "origin" not in node:
        raise ValueError(f"dataset={name} of suite={suite} needs no preparation")
    return dict(node)


def accepted(origin: Mapping[str, Any], answer: str | None) -> bool:
    """Whether the user takes the set under its licence."""
    console.print(f"licence: {origin['licence']}  ({origin['page']})")
    if answer is not None:
        return answer.lower() in ("true", "yes", "1")
    if not sys.stdin.isatty():
        raise ValueError("say accept_licence=true if you may use the images under this licence")
    return input("Use it under these terms? [y/N] ").strip().lower() in ("y", "yes")


def archive(name: str, role: str, source: Mapping[str, Any] | None, page: str) -> Path:
    """The downloaded archive of one role.

    Raises:
        ValueError, OSError: it cannot be had; the message says how to import it by hand.
    """
    by_hand = (
        f"get it by hand from {page} and run: python -m fsig_bench.prepare dataset={name} "
        f"{role}=FILE_OR_FOLDER"
    )
    if source is None:
        raise ValueError(f"no download of the {role} is known; {by_hand}")
    # Several sets may come out of one archive.
    target = cache_folder() / "downloads" / source.get("gdrive", f"{name}-{role}")
    if target.exists():
        return target
    try:
        if "url" in source:
            with Bar(f"{name} {role}", 1, "KiB") as bar:
                fetch(
                    source["url"],
                    target,
                    sha256=source.get("sha256"),
                    report=lambda have, total: bar.update(have >> 10, max(total >> 10, 1)),
                )
        else:
            import gdown

            target.parent.mkdir(parents=True, exist_ok=True)
            part = target.with_name(f"{target.name}.part")
            gdown.download(id=source["gdrive"], output=str(part), quiet=not console.is_terminal)
            part.replace(target)
    except ImportError as error:
        raise ValueError(
            f"Google Drive needs gdown: pip install 'fsig-bench[drive]'; or {by_hand}"
        ) from error
    except Exception as error:  # gdown raises its own kinds
        link = source.get("url") or f"https://drive.google.com/file/d/{source['gdrive']}"
        raise ValueError(f"{link} cannot be had ({error}); {by_hand}") from error
    return target


def check_count(role: str, count: int, expected: Any) -> str | None:
    """A remark where a set is not of the size that is known for it; fewer shots are an error."""
    low, high = expected if isinstance(expected, list) else (expected, expected)
    if low <= count <= high:
        return None
    if role == "shots" and count < low:
        raise ValueError(f"{count} shots found, {low} expected: another or an incomplete edition")
    return f"{count} images for the {role}, {low} to {high} expected: another edition of the set?"


def prepare(words: Sequence[str]) -> Path:
    """Does it; returns the prepared folder."""
    found = choices(words)
    node = described(found)
    name, origin = node["name"], node["origin"]
    folder = Path(node["path"]).expanduser().parent
    if (folder / "manifest.json").exists() and not {"shots", "reference"} & set(found):
        console.print(f"{folder} is prepared; delete it to start over")
        return folder
    if not accepted(origin, found.get("accept_licence")):
        raise ValueError("the licence was not accepted; nothing was written")
    remarks, files = [], {}
    for role in ("shots", "reference"):
        if role == "reference" and node["reference"] is None:
            continue
        given = found.get(role)
        source = Path(given).expanduser() if given else None
        if source is None and (folder / role).is_dir():
            source = folder / role  # from an earlier call
        if source is None:
            source = archive(name, role, origin[role], origin["page"])
        only = node["shots_list"] if role == "shots" else None
        inside = (origin[role] or {}).get("inside")
        files[role] = import_images(source, folder / role, only=only, inside=inside)
        if remark := check_count(role, len(files[role]), origin["images"][role]):
            remarks.append(remark)
        console.print(f"{role:<10} {len(files[role])} images in {folder / role}")
    twins = near_duplicates(files["shots"], files.get("reference", []))
    if twins:
        shown = "; ".join(f"{shot} ~ {', '.join(names[:3])}" for shot, names in twins.items())
        remarks.append(f"{len(twins)} shots have near-duplicates in the reference: {shown}")
    write_manifest(
        folder,
        {
            "dataset": name,
            "licence": origin["licence"],
            "page": origin["page"],
            "near_duplicates": twins,
            "remarks": remarks,
        },
    )
    for remark in remarks:
        console.print(f"note: {remark}")
    console.print(f"manifest   {folder / 'manifest.json'}")
    return folder


if __name__ == "__main__":
    try:
        prepare(sys.argv[1:])
    except (ValueError, OSError) as error:
        raise SystemExit(f"error: {error}") from error
