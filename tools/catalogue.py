"""`python -m tools.catalogue`: every downloaded file and image set, as docs/assets.md.

    python -m tools.catalogue > docs/assets.md

Sizes, licences, origins and digests as conf/asset/ and conf/in_suite/dataset/paper/ state them.
"""

from __future__ import annotations

import yaml

from fsig_bench.api.places import CONF
from fsig_bench.api.plain import Json, JsonDict
from fsig_bench.prepare import link

HEAD = """\
# Downloaded files and image sets

Made by `python -m tools.catalogue > docs/assets.md` from `conf/asset/` and
`conf/in_suite/dataset/paper/`. Nothing of it is in the repository. No link has been tried by us,
and for some files no digest is known; then the file's own is pinned at first use, compared whenever
a process opens the file, and stated in every record.

## Weights and their settings

"""
SETS = """
## Target sets

`fsig-bench prepare dataset=NAME`. Numbers of images are those that are checked; sizes of
archives are not known, but for MetFaces (1.6 GB). The sha256 of every image goes into the set's
`manifest.json`.

"""


def nodes(group: str) -> dict[str, JsonDict]:
    """The YAML files of a config group by name."""
    files = sorted((CONF / group).glob("*.yaml"))
    return {path.stem: yaml.safe_load(path.read_text()) for path in files}


def table(head: str, rows: list[list[str]]) -> str:
    """Markdown."""
    rule = "|".join("---" for _ in head.split("|"))
    lines = [f"| {head} |", f"|{rule}|"]
    return "\n".join(lines + [f"| {' | '.join(r)} |" for r in rows]) + "\n"


def assets() -> str:
    """One row a file."""
    rows = [
        [
            f"`{name}`",
            f"`{a['file']}`",
            f"{a['mib']:g}",
            a["licence"],
            f"[{'fetched' if a['url'] else 'by hand'}]({a['url'] or a['page']})",
            f"`{a['sha256']}`" if a["sha256"] else "not known",
        ]
        for name, a in nodes("asset").items()
    ]
    return table("conf/asset | file | MiB | licence | origin | sha256", rows)


def place(source: Json | None) -> str:
    """A link to one role's archive."""
    if source is None:
        return "none"
    return f"[{'zip' if 'url' in source else 'Drive'}]({link(source)})"


def number(images: object) -> str:
    """10, or 2000-3000."""
    if images is None:
        return "-"
    return "-".join(map(str, images)) if isinstance(images, list) else str(images)


def sets() -> str:
    """One row a target set of the paper suite."""
    rows = []
    for name, node in nodes("in_suite/dataset/paper").items():
        o = node["origin"]
        others = ", ".join(f'[{a["role"]}]({a["at"]} "{a["what"]}")' for a in o["alternatives"])
        rows.append(
            [
                f"`{name}`",
                number(o["images"]["shots"]),
                number(o["images"]["reference"]),
                o["licence"],
                f"{place(o['shots'])}, {place(o['reference'])}",
                f"[page]({o['page']}), {others}",
            ]
        )
    return table("dataset | shots | reference | licence | shots, reference from | else", rows)


def page() -> str:
    """docs/assets.md."""
    return HEAD + assets() + SETS + sets()


if __name__ == "__main__":
    print(page(), end="")
