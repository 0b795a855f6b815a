"""`fsig-bench leaderboard`: results that labs handed in, checked, on one page.

    fsig-bench leaderboard                      writes <board>/index.html, which opens from disk
    fsig-bench leaderboard add FILE.zip ...     checks bundles of `fsig-bench submit`, scores their
                                                PNG files again, merges them, writes the page
    fsig-bench leaderboard freeze version=1     computes the protocol hashes of a version of
                                                conf/leaderboard, for good

A bundle goes to the newest frozen version, whole or not at all. What is refused is named with the
value and the remedy.

  board=DIR          default: results/leaderboard
  dry_run=true       add: checks and scores, and merges nothing
  rescore=false      add: scores nothing; the numbers count as claimed
  device=auto        of the scoring: auto | cpu | cuda     batch_size=50     speed and memory only
  features=DIR       a results folder that keeps features of references for the next bundle
  data_dir=DIR       where prepared image sets lie         --config-dir DIR  YAML of your own
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from fsig_bench.console import printable, run_word
from fsig_bench.words import GivenWords, parse_words, switch

KEYS = ("board", "version", "dry_run", "rescore", "device", "batch_size", "features", "data_dir")
PLACE = ("device", "batch_size", "data_dir")  # words of a run that go with scoring
LONGEST = 2000  # characters of a refusal, which may quote a bundle
OF = {
    "add": ("board", "dry_run", "rescore", "features", *PLACE),
    "freeze": ("board", "version"),
    "": ("board",),
}


def write_page(board: Path) -> None:
    """Writes the page and says where it is."""
    from fsig_bench.report.board.page import write_board

    page, problems = write_board(board)
    for problem in problems:
        print(f"left out: {printable(problem)}", file=sys.stderr)
    print(page)


def add(given: GivenWords, board: Path) -> int:
    """Adds bundles; exit status 1 where one is refused, after the others were added."""
    from fsig_bench.report.board.adding import Settings, add_bundle, report_lines

    if not (files := given.positional[1:]):
        raise ValueError("name the bundles: fsig-bench leaderboard add FILE.zip")
    own = given.settings
    features = own.get("features")
    settings = Settings(
        board=board,
        features=Path(features).expanduser() if features else None,
        rescore=switch(own, "rescore", default=True),
        place=tuple(f"{key}={own[key]}" for key in PLACE if key in own),
        config_dir=given.config_dir,
    )
    dry_run, refused = switch(own, "dry_run", default=False), 0
    for file in files:
        path = Path(file).expanduser()
        try:
            runs = add_bundle(path, settings, dry_run=dry_run)
        except (ValueError, OSError) as error:
            refused += 1
            print(f"refused: {printable(str(error))[:LONGEST]}", file=sys.stderr)
            continue
        for line in report_lines(path, runs, dry_run=dry_run):
            print(printable(line))
    if not dry_run and refused < len(files):
        write_page(board)
    return int(refused > 0)


def freeze(given: GivenWords, board: Path) -> int:
    """Freezes a version and prints its tracks."""
    from fsig_bench.report.board.versions import freeze as freeze_version
    from fsig_bench.runner.record import code_version
    from fsig_bench.store import clock

    if "version" not in given.settings:
        raise ValueError("say which version of conf/leaderboard: version=NAME")
    commit, dirty = code_version()
    if dirty:
        print("note: files of this checkout differ from its commit", file=sys.stderr)
    version = freeze_version(
        board,
        given.settings["version"],
        when=clock.now(),
        commit=commit,
        config_dir=given.config_dir,
    )
    for track in version.tracks:
        print(f"{track.hash}  {track.title}")
    print(f"{board / version.name / 'version.json'}: version {version.name} is frozen")
    return 0


def main(words: Sequence[str]) -> int:
    """Does what the words say; exit status 1 where a bundle is refused.

    Raises:
        ValueError, OSError: a word is unknown, or a file cannot be used.
    """
    given = parse_words(words, word="leaderboard", keys=KEYS)
    todo = given.positional[0] if given.positional else ""
    if todo not in OF or (todo != "add" and given.positional[1:]):
        odd = todo if todo not in OF else given.positional[1]
        raise ValueError(
            f"leaderboard knows no {odd!r}. It takes add FILE.zip ..., freeze version=NAME, or "
            "nothing, to write the page"
        )
    if strange := [key for key in given.settings if key not in OF[todo]]:
        raise ValueError(
            f"{strange[0]}= does not go with `leaderboard{' ' if todo else ''}{todo}`; it takes "
            f"{', '.join(f'{key}=' for key in OF[todo])}"
        )
    board = Path(given.settings.get("board", "results/leaderboard")).expanduser()
    if todo == "add":
        return add(given, board)
    if todo == "freeze":
        return freeze(given, board)
    write_page(board)
    return 0


if __name__ == "__main__":
    sys.exit(run_word("leaderboard", main))
