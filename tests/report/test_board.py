"""Hand-ins: what two labs merge, and what is refused, with the value and the remedy."""

import json
import shutil
import struct
import zipfile
import zlib

import numpy as np
import pytest
from board_helpers import (
    OWN,
    brightened,
    edit_record,
    encoded,
    first_png,
    forge,
    make_samples,
    members,
    pixels_digest,
    record_name,
    toy_run,
    tree,
    write_zip,
)
from html_helpers import Page

from fsig_bench.__main__ import main
from fsig_bench.metrics.cards import MetricCard
from fsig_bench.report.board.sealed import with_seal, write_sealed
from fsig_bench.report.board.tolerance import compare, tolerance
from fsig_bench.report.board.versions import defined_tracks, hashed, natural


@pytest.fixture(scope="module")
def labs(tmp_path_factory):
    """The bundles of two labs, a frozen version, and the numbers of both."""
    root = tmp_path_factory.mktemp("labs")
    values = {}
    for seed, lab in enumerate(("A", "B")):
        images = make_samples(root / f"images{lab}", seed)
        record = toy_run(root / f"results{lab}", images)
        values[lab] = record["metrics"]["fd"]["value"]
        words = [f"results_dir={root / f'results{lab}'}", f"who=Lab {lab}", "version=toy"]
        out = f"out={root / f'{lab}.zip'}"
        assert main(["submit", *words, out, "with=png,states", *OWN]) == 0
    board = root / "board"
    assert main(["leaderboard", "freeze", "version=toy", f"board={board}", *OWN]) == 0
    return root, values


@pytest.fixture
def board(labs, tmp_path):
    """A leaderboard with a frozen version and nothing else."""
    return shutil.copytree(labs[0] / "board", tmp_path / "board")


def add(board, *files, words=()):
    return main(["leaderboard", "add", *map(str, files), f"board={board}", *words, *OWN])


def refused(board, file, capsys, *needed, words=()):
    """The sentence that refuses a bundle; nothing may have been written."""
    before = tree(board)
    assert add(board, file, words=words) == 1
    sentence = capsys.readouterr().err
    assert sentence.startswith("refused: ") and sentence.count("\n") == 1
    for part in needed:
        assert part in sentence, sentence
    assert tree(board) == before
    return sentence


def entries(board):
    found = [json.loads(path.read_text()) for path in board.rglob("entry.json")]
    return {entry["who"]: entry for entry in found}


def test_two_bundles_of_two_labs_are_merged(labs, board, capsys):
    root, values = labs
    assert add(board, root / "A.zip", root / "B.zip") == 0
    said = capsys.readouterr().out
    assert said.count("re-scored") == 2 and said.count("1 of 1 runs added") == 2
    found = entries(board)
    assert set(found) == {"Lab A", "Lab B"}
    for lab in "AB":
        entry = found[f"Lab {lab}"]
        assert entry["standing"] == "re-scored" and entry["state"]
        assert entry["rescored"]["fd"]["claimed"] == values[lab]
        assert entry["rescored"]["fd"]["value"] == pytest.approx(values[lab], rel=1e-4)
    page = Page(board / "index.html")
    order = sorted("AB", key=values.__getitem__)
    ranks = {f"Lab {lab}": str(n + 1) for n, lab in enumerate(order)}
    rows = [own for tag, own in page.tags if tag == "tr" and "data-who" in own]
    cells = [own for tag, own in page.tags if tag == "td" and own.get("data-m") == "fd"]
    assert {r["data-who"]: c["data-r"] for r, c in zip(rows, cells, strict=True)} == ranks
    text = page.text
    for part in ("2 runs of 2 labs", "brief v1", "folder", "re-scored", "fsig_bench 0."):
        assert part in text, part
    version = json.loads((board / "toy" / "version.json").read_text())
    assert version["tracks"][0]["hash"] in text
    strips = [path for path in page.addresses if path.endswith(".webp")]
    assert len(strips) == 2 and all((board / path).is_file() for path in strips)
    assert not [path for path in page.addresses if path.startswith(("http", "//", "/"))]
    # A lab's folder is a results folder, and a second time nothing changes.
    (lab,) = board.glob("toy/lab-a-*")
    assert main(["report", str(lab), "only=tables", f"out={board.parent / 'out'}"]) == 0
    before = tree(board)
    capsys.readouterr()
    assert add(board, root / "B.zip", root / "A.zip") == 0
    assert capsys.readouterr().out.count("is on the leaderboard already") == 2
    assert tree(board) == before


def doctored(labs, tmp_path, change, **how):
    return forge(labs[0] / "A.zip", tmp_path / "doctored.zip", change, **how)


def better(record):
    record["metrics"]["fd"]["value"] *= 0.9


def test_a_doctored_number_is_refused(labs, board, tmp_path, capsys):
    value = labs[1]["A"]
    bundle = doctored(labs, tmp_path, lambda f: edit_record(f, better, sealed=False))
    refused(board, bundle, capsys, "was edited", "as the run left it")
    bundle = doctored(labs, tmp_path, lambda f: edit_record(f, better))
    needed = ("fd", f"{value * 0.9:.6g}", f"{value:.6g}", "is allowed", "Hand in")
    refused(board, bundle, capsys, *needed)


def test_a_card_that_widens_the_tolerance_changes_nothing(labs, board, tmp_path, capsys):
    def change(record):
        better(record)
        card = record["config"]["protocol"]["metrics"]["fd"]["card"]
        card |= {"decimals": 0, "factor": 1e-9}

    refused(board, doctored(labs, tmp_path, lambda f: edit_record(f, change)), capsys, "is allowed")


def test_a_doctored_image_is_refused(labs, board, tmp_path, capsys):
    def change(files):
        files[first_png(files)] = brightened(files[first_png(files)])

    bundle = doctored(labs, tmp_path, change, digests=False)
    refused(board, bundle, capsys, "png/000000.png", "was changed after the bundle was made")
    bundle = doctored(labs, tmp_path, change)
    refused(board, bundle, capsys, "its images have the digest", "that were scored")

    def change_all(files):
        for name in [name for name in files if name.endswith(".png")]:
            files[name] = brightened(files[name])
        edit_record(files, lambda record: record.update(pixels_sha256=pixels_digest(files)))

    bundle = doctored(labs, tmp_path, change_all)
    refused(board, bundle, capsys, "the samples give", "is allowed")


def grey(files):
    files[first_png(files)] = encoded(np.zeros((64, 64), np.uint8))


def small(files):
    files[first_png(files)] = encoded(np.zeros((8, 8, 3), np.uint8))


def huge(files):
    """The head of a PNG file of 10 gigapixels."""
    head = b"IHDR" + struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + head + struct.pack(">I", zlib.crc32(head))
    files[first_png(files)] = b"\x89PNG\r\n\x1a\n" + chunk


def cut(files):
    files[first_png(files)] = files[first_png(files)][:500]


def other_format(files):
    files[first_png(files)] = b"GIF89a" + bytes(100)


@pytest.mark.parametrize("change", [grey, small, huge, cut, other_format])
def test_what_is_no_sample_is_refused(change, labs, board, tmp_path, capsys):
    bundle = doctored(labs, tmp_path, change)
    refused(board, bundle, capsys, "png/000000.png", "64 x 64", "fsig-bench submit")


def test_missing_samples_are_refused(labs, board, tmp_path, capsys):
    bundle = doctored(labs, tmp_path, lambda files: files.pop(first_png(files)))
    refused(board, bundle, capsys, "holds 7 PNG files", "scores 8")


def test_a_foreign_protocol_is_refused(labs, board, tmp_path, capsys):
    def change(record):
        record["config"]["protocol"]["metrics"]["fd"]["blocks"] = 3
        record["protocol_hash"] = "deadbeef"
        for metric in record["metrics"].values():
            metric["protocol_hash"] = "deadbeef"

    bundle = doctored(labs, tmp_path, lambda f: edit_record(f, change))
    refused(board, bundle, capsys, "deadbeef", "metrics.fd.blocks (3 / 5)", "Score it again")

    def one(record):
        record["metrics"]["fd"]["protocol_hash"] = "deadbeef"

    refused(board, doctored(labs, tmp_path, lambda f: edit_record(f, one)), capsys, "deadbeef")


@pytest.mark.parametrize(
    "change, needed",
    [
        (lambda r: r["metrics"].pop("fd"), "the metric fd is missing"),
        (lambda r: r["config"]["dataset"].update(n_ref=50), "dataset.n_ref=50"),
        (lambda r: r.update(shots=["other.png", "image.png"]), "names the shots other.png"),
        (lambda r: r["metrics"]["fd"].update(n_real=9), "n_real is 9 in the record"),
        (lambda r: r["metrics"]["fd"].update(value=None, reason="none"), "the record has no value"),
        (lambda r: r.update(num_images=9), "has no track"),
    ],
)
def test_a_run_outside_the_track_is_refused(change, needed, labs, board, tmp_path, capsys):
    bundle = doctored(labs, tmp_path, lambda f: edit_record(f, change))
    refused(board, bundle, capsys, needed)


def test_a_stale_version_is_refused(labs, board, tmp_path, capsys):
    root, _ = labs
    bundle = doctored(labs, tmp_path, lambda f: None, manifest=lambda m: m.update(version="0"))
    refused(board, bundle, capsys, "for version 0", "takes version toy", "version=toy")
    frozen = json.loads((board / "toy" / "version.json").read_text())
    newer = frozen | {"version": "toy2", "frozen": "2999-01-01T00:00:00+00:00"}
    write_sealed(board / "toy2" / "version.json", newer)
    refused(board, root / "A.zip", capsys, "for version toy", "takes version toy2")
    # A format that this code does not know.
    bundle = doctored(labs, tmp_path, lambda f: None, manifest=lambda m: m.update(bundle=99))
    refused(board, bundle, capsys, "99")


def test_code_with_other_rules_than_the_version_scores_nothing(labs, board, tmp_path, capsys):
    path = board / "toy" / "version.json"
    frozen = json.loads(path.read_text())
    frozen["tracks"][0]["hash"] = "0badc0de"
    write_sealed(path, frozen)

    def change(record):
        record["protocol_hash"] = "0badc0de"
        for metric in record["metrics"].values():
            metric["protocol_hash"] = "0badc0de"

    bundle = doctored(labs, tmp_path, lambda f: edit_record(f, change))
    refused(board, bundle, capsys, "this code gives", "0badc0de", "check out fsig_bench")


def test_a_version_is_frozen_once_and_seals_its_hashes(board, capsys):
    assert main(["leaderboard", "freeze", "version=toy", f"board={board}", *OWN]) == 1
    assert "never changes" in capsys.readouterr().err
    path = board / "toy" / "version.json"
    text = path.read_text()
    path.write_text(text.replace('"k": 2', '"k": 3'))
    assert main(["leaderboard", f"board={board}"]) == 1
    assert "seal does not fit" in capsys.readouterr().err


def link(archive):
    info = zipfile.ZipInfo("runs/mini/copy/babies/k2-seed0-aa/record.json")
    info.external_attr = 0o120777 << 16
    archive.writestr(info, "/etc/passwd")


def encrypted(archive):
    archive.writestr("runs/mini/copy/babies/k2-seed0-aa/record.json", b"{}")
    archive.filelist[-1].flag_bits |= 1


def with_nul(archive):
    info = zipfile.ZipInfo("record.json")
    info.filename = f"{RUN}/record.json\0.exe"
    archive.writestr(info, b"{}")


def named(name, data=b"{}", packed=zipfile.ZIP_STORED):
    return lambda archive: archive.writestr(zipfile.ZipInfo(name), data, packed)


def overlapping(archive):
    """Fifty members that share the same bytes."""
    archive.writestr("runs/mini/copy/babies/k2-seed0-aa/png/000000.png", bytes(10**6))
    (first,) = archive.filelist[-1:]
    for n in range(1, 50):
        other = zipfile.ZipInfo(f"runs/mini/copy/babies/k2-seed0-aa/png/{n:06d}.png")
        for field in ("header_offset", "CRC", "compress_size", "file_size", "compress_type"):
            setattr(other, field, getattr(first, field))
        archive.filelist.append(other)
        archive.NameToInfo[other.filename] = other


RUN = "runs/mini/copy/babies/k2-seed0-aa"
HOSTILE = {
    "a name with ..": (named("../../evil.json"), "leads out of its folder"),
    "a name with .. inside": (named("runs/../../evil.json"), "leads out of its folder"),
    "a name with .. and \\": (named("runs\\..\\evil.json"), "leads out of its folder"),
    "an absolute name": (named("/tmp/evil.json"), "is an absolute path"),
    "a drive": (named("C:/evil.json"), "is an absolute path"),
    "a symbolic link": (link, "is a symbolic link"),
    "a folder": (named(f"{RUN}/"), "none of a bundle's files"),
    "another file": (named(f"{RUN}/evil.py"), "none of a bundle's files"),
    "a run that leads out": (named("runs/mini/../babies/k2-seed0-a/record.json"), "leads out"),
    "a name with a NUL": (with_nul, "none of a bundle's files"),
    "a password": (encrypted, "is encrypted"),
    "a bomb": (
        named(f"{RUN}/record.json", bytes(20 * 2**20), zipfile.ZIP_DEFLATED),
        "as in a zip bomb",
    ),
    "a large record": (named(f"{RUN}/record.json", bytes(33 * 2**20)), "unpacks to 33 MiB"),
    "a packed image": (
        named(f"{RUN}/png/000000.png", bytes(10**6), zipfile.ZIP_DEFLATED),
        "is compressed once more",
    ),
    "another packing": (named(f"{RUN}/record.json", b"{}", zipfile.ZIP_LZMA), "method 14"),
    "overlapping members": (overlapping, "members overlap"),
    "a file that is not listed": (named(f"{RUN}/record.json"), "is not in the manifest"),
}


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_hostile_zip_file_is_refused(name, labs, board, tmp_path, capsys):
    change, needed = HOSTILE[name]
    bundle = tmp_path / "hostile.zip"
    shutil.copy(labs[0] / "A.zip", bundle)
    with zipfile.ZipFile(bundle, "a") as archive:
        change(archive)
    before = tree(tmp_path)
    refused(board, bundle, capsys, str(bundle), needed, "fsig-bench submit")
    assert tree(tmp_path) == before


def test_two_members_of_one_name_are_refused(labs, board, tmp_path, capsys):
    bundle = shutil.copy(labs[0] / "A.zip", tmp_path / "twice.zip")
    with zipfile.ZipFile(bundle, "a") as archive, pytest.warns(UserWarning):
        archive.writestr("manifest.json", "{}")
    refused(board, bundle, capsys, "manifest.json twice")


@pytest.mark.parametrize(
    "data",
    [b"", b"PK\x03\x04", b"no zip file", bytes(10**5)],
    ids=["empty", "head only", "text", "zeros"],
)
def test_what_is_no_zip_file_is_refused(data, board, tmp_path, capsys):
    path = tmp_path / "bundle.zip"
    path.write_bytes(data)
    refused(board, path, capsys, "no zip file")
    refused(board, tmp_path / "absent.zip", capsys, "absent.zip")


def test_a_flipped_bit_anywhere_does_no_harm(labs, board, tmp_path, capsys):
    """The bundle is refused, or what counts in it is as it was."""
    data = (labs[0] / "A.zip").read_bytes()
    rng = np.random.default_rng(0)
    for at in rng.integers(0, len(data), 40):
        changed = bytearray(data)
        changed[at] ^= 1 << int(rng.integers(8))
        path = tmp_path / "flipped.zip"
        path.write_bytes(changed)
        status = add(board, path, words=["rescore=false", "dry_run=true"])
        said = capsys.readouterr()
        assert status == 0 or said.err.startswith("refused: ")
    assert not entries(board)


def test_damaged_manifests_are_refused(labs, board, tmp_path, capsys):
    files = members(labs[0] / "A.zip")
    head = json.loads(files["manifest.json"])
    for change, needed in (
        (b"[]", "holds no object"),
        (b"{", "is damaged"),
        (b"{}", "was edited"),
        (json.dumps(head | {"who": "Lab C"}).encode(), "its seal does not fit"),
        (json.dumps(with_seal(head | {"who": "a\x1b[2J"})).encode(), "holds the character"),
        (json.dumps(with_seal(head | {"who": " "})).encode(), "80 printable characters"),
        (json.dumps(with_seal(head | {"cells": []})).encode(), "not those of its files"),
        (b"[" * 10**5, "is damaged"),
    ):
        bundle = write_zip(tmp_path / "manifest.zip", files | {"manifest.json": change})
        refused(board, bundle, capsys, needed)


def test_a_damaged_state_is_refused(labs, board, tmp_path, capsys):
    def change(files):
        (name,) = (name for name in files if name.endswith(".safetensors"))
        files[name] = files[name][:-1] + b"?"

    refused(board, doctored(labs, tmp_path, change), capsys, "state.safetensors", "damaged")


def test_numbers_without_images_are_claimed_until_they_are_scored(labs, board, tmp_path, capsys):
    root, _ = labs
    words = [f"results_dir={root / 'resultsA'}", "who=Lab A", "version=toy", "with=records"]
    assert main(["submit", *words, f"out={tmp_path / 'claim.zip'}", *OWN]) == 0
    assert "as claimed" in capsys.readouterr().out
    assert add(board, tmp_path / "claim.zip") == 0
    assert entries(board)["Lab A"]["standing"] == "claimed"
    page = Page(board / "index.html")
    assert not [own for tag, own in page.tags if "data-r" in own]
    assert [own for tag, own in page.tags if own.get("data-standing") == "claimed"]
    # A number that was made up cannot be told from a true one here; the same run cannot have two.
    other = forge(tmp_path / "claim.zip", tmp_path / "other.zip", lambda f: edit_record(f, better))
    refused(board, other, capsys, "one set of numbers", "remove")
    assert add(board, root / "A.zip") == 0
    assert entries(board)["Lab A"]["standing"] == "re-scored"
    assert add(board, tmp_path / "claim.zip") == 0  # does not take the standing away
    assert entries(board)["Lab A"]["standing"] == "re-scored"


def test_a_dry_run_and_rescore_false(labs, board, capsys):
    before = tree(board)
    assert add(board, labs[0] / "A.zip", words=["dry_run=true", "rescore=false"]) == 0
    assert "1 of 1 runs would be added" in capsys.readouterr().out and tree(board) == before
    assert add(board, labs[0] / "A.zip", words=["rescore=false"]) == 0
    assert entries(board)["Lab A"]["standing"] == "claimed"


def test_text_of_a_lab_is_shown_escaped(labs, board, tmp_path):
    def change(record):
        record["config"]["method"]["card"]["label"] = "<script>alert(1)</script>"
        record["environment"]["git_commit"] = {"<b>": 1}

    who = '"><img src=x onerror=alert(1)>'
    bundle = doctored(
        labs,
        tmp_path,
        lambda f: edit_record(f, change),
        manifest=lambda m: m.update(who=who),
    )
    assert add(board, bundle, words=["rescore=false"]) == 0
    page = Page(board / "index.html")
    assert "<script>alert(1)</script>" in page.text and who in page.text
    assert len(page.all("script")) == 1 and not [i for i in page.all("img") if "onerror" in i]


def test_entries_that_were_edited_are_left_out(labs, board, capsys):
    assert add(board, labs[0] / "A.zip", words=["rescore=false"]) == 0
    (path,) = board.rglob("entry.json")
    text = path.read_text()
    path.write_text(text.replace('"claimed"', '"re-scored"'))
    capsys.readouterr()
    assert main(["leaderboard", f"board={board}"]) == 0
    assert "seal does not fit" in capsys.readouterr().err
    assert "Nothing has been handed in yet" in (board / "index.html").read_text()
    path.write_text(text)
    record = path.parent / "record.json"
    record.write_text(record.read_text() + "\n")
    assert main(["leaderboard", f"board={board}"]) == 0
    assert "not the one that was checked" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words, needed",
    [
        ([], 'write who="Your lab"'),
        (["who=A\tB"], "printable characters"),
        (["who=A", "with=pngs"], "with=pngs: choose from records, png, states"),
        (["who=A", "version=9"], "there is no conf/leaderboard/9.yaml"),
        (["who=A", "method=crdi"], "holds no finished run method=crdi"),
        (["who=A", "version=1"], "version 1 has no track"),
        (["who=A", "mehtod=crdi"], "Did you mean method?"),
        (["who=A", "out={root}/resultsA/note.txt"], "is no bundle"),
    ],
)
def test_a_hand_in_that_cannot_be_is_refused(words, needed, labs, capsys):
    root, _ = labs
    (root / "resultsA" / "note.txt").write_text("a note")
    given = [word.format(root=root) for word in words]
    words = ["version=toy"] if not [w for w in given if w.startswith("version")] else []
    capsys.readouterr()
    assert main(["submit", f"results_dir={root / 'resultsA'}", *given, *words, *OWN]) == 1
    assert needed in capsys.readouterr().err


def test_samples_that_are_gone_are_named(labs, tmp_path, capsys):
    results = shutil.copytree(labs[0] / "resultsA", tmp_path / "results")
    shutil.rmtree(results / "store" / "sample")
    words = [f"results_dir={results}", "who=A", "version=toy", f"out={tmp_path / 'a.zip'}"]
    assert main(["submit", *words, *OWN]) == 1
    assert "with=records" in capsys.readouterr().err
    assert not (tmp_path / "a.zip").exists()


def test_a_bundle_says_who_what_and_with_which_code(labs):
    files = members(labs[0] / "A.zip")
    head = json.loads(files["manifest.json"])
    record = json.loads(files[record_name(files)])
    (cell,) = head["cells"]
    assert head["who"] == "Lab A" and head["version"] == "toy"
    assert cell["protocol_hash"] == record["protocol_hash"]
    assert cell["code"] == record["code"]["classes"] != {}
    assert head["environment"]["packages"]["torch"]
    assert len([name for name in files if name.endswith(".png")]) == 8


CARD = MetricCard(heading="m", decimals=2, factor=1000)


@pytest.mark.parametrize(
    "claimed, here, agrees",
    [
        # A thousandth of 0.2, and half of the last printed digit: 0.0002 + 0.000005.
        (0.2002, 0.2, True),
        (0.200204, 0.2, True),
        (0.200206, 0.2, False),
        (0.199796, 0.2, True),
        (0.199794, 0.2, False),
        (0.000004, 0.0, True),
        (0.000006, 0.0, False),
        (float("nan"), 0.2, False),
        (None, 0.2, False),
        (0.2, None, False),
        (None, None, True),
    ],
)
def test_the_tolerance_is_a_thousandth_and_half_a_digit(claimed, here, agrees):
    assert tolerance(0.2, CARD) == pytest.approx(0.000205)
    found = compare("m", {"value": claimed}, {"value": here}, CARD)
    assert (not found.reason) == agrees


def test_version_1_has_a_hash_for_each_track_and_names_are_ordered():
    tracks = defined_tracks("1")
    found = {hashed(track).hash for track in tracks}
    assert len(found) == len({(t.suite, t.protocol, t.num_images) for t in tracks}) >= 3
    assert sorted(["10", "9", "2b", "2"], key=natural) == ["2", "2b", "9", "10"]
