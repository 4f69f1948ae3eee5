"""Folders and zips of pictures: what is read, what is refused and in which words, and that nothing is left behind."""

from __future__ import annotations

import io
import os
import stat
import struct
import tracemalloc
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tests.data.own_files import ME, files_of, jpeg, packed, photo, saved, zipped
from tlcore import cli
from tlcore.data import own
from tlcore.data.own import adding, apart, reading
from tlcore.data.own.adding import add
from tlcore.data.own.apart import add_upload
from tlcore.data.own.reading import from_folder, open_place, open_zip
from tlcore.errors import UserError
from tlcore.store import Store

TWO = {"cat": 5, "dog": 5}


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """A home of the test's own; no test may leave half a set or an upload in it."""
    place = tmp_path / "home"
    monkeypatch.setenv("TLCORE_HOME", str(place))
    yield place
    left = list((place / "own").iterdir()) if (place / "own").exists() else []
    assert all(path.is_dir() and not path.name.endswith("partial") for path in left if path.name != "room.lock")
    if (place / "tlcore.sqlite").exists():
        Store().close()


def added(file, title="Animals"):
    with open_zip(file) as found:
        return add(found, ME, title)


def refuses(file, words):
    with pytest.raises(UserError, match=words) as refused:
        added(file)
    assert "\n" not in str(refused.value)
    assert own.of_owner(ME) == ()


# --- what is read -----------------------------------------------------------------------------------------------------


def test_one_folder_around_and_what_systems_leave(tmp_path):
    files = {f"things/{path}": data for path, data in files_of(TWO).items()}
    files |= {"__MACOSX/things/cat/._1.jpg": b"x", "things/.DS_Store": b"x", "things/cat/Thumbs.db": b"x"}
    plain, inside = added(zipped(TWO)), added(packed(files))
    assert inside.report == plain.report == adding.Report(10, 0, 0, 0, (), 0, ())
    assert inside.own_set.sha256 == plain.own_set.sha256
    for path, data in files.items():
        (tmp_path / "disk" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "disk" / path).write_bytes(data)
    with open_place(tmp_path / "disk") as found:
        assert add(found, ME, "Animals").own_set.sha256 == plain.own_set.sha256


def test_copies_are_left_out_and_near_copies_stay_together():
    files = files_of(TWO)
    files |= {f"cat/copy{number}.jpg": files["cat/0.jpg"] for number in range(3)}
    files |= {
        f"dog/small{n}.png": saved(Image.open(io.BytesIO(files[f"dog/{n}.jpg"])).resize((180, 180))) for n in (0, 1)
    }
    made = added(packed(files))
    assert made.own_set.counts == (5, 7)
    assert made.own_set.groups == 10
    assert made.report.sentences() == (
        "3 copies left out.",
        "2 groups of near-copies (4 pictures) stay together: never one to learn from, another to test.",
    )
    _, labels, groups = own.arrays(made.own_set)
    assert len(labels) == 12
    assert groups.max() == 9


def test_bad_files_are_named_and_the_others_go_on():
    files = files_of(TWO) | {
        "cat/broken.jpg": jpeg(0)[:500],
        "cat/empty.png": b"",
        "dog/virus.jpg": b"MZ" + b"\0" * 100,
        "dog/inner.zip": zipped(TWO).getvalue(),
        "dog/drawing.svg": b"<svg/>",
        "loose.jpg": jpeg(99),
    }
    report = added(packed(files)).report
    said = "\n".join(report.sentences())
    assert report.refused_count == 6
    for words in ("broken.jpg is cut off", "empty.png is empty", "virus.jpg is a program", "inner.zip is an archive"):
        assert words in said
    assert "drawing.svg is a drawing" in said
    assert "loose.jpg is in no class" in said


def test_names_of_classes():
    cafe = "cafe\u0301"
    files = files_of({f"{cafe} <b>*1*": 3, "CAFÉ b 1": 3, "b\u202edog": 5}, first=20)
    made = added(packed(files))
    assert made.own_set.classes == ("b dog", "CAFÉ b 1")
    assert made.own_set.counts == (5, 6)
    assert "other spellings" in made.report.sentences()[0]


def test_titles_are_cleaned():
    assert added(zipped(TWO), "![x](http://y) " + "w" * 100).own_set.title.startswith("x (http y) www")
    assert added(zipped(TWO), "***").own_set.title == "My pictures"


def test_loose_files_of_the_same_name():
    files = [
        (f"{name}/picture.jpg", io.BytesIO(jpeg(first + at))) for first, name in ((0, "a"), (9, "b")) for at in range(5)
    ]
    assert add_upload(files, ME, "Loose").own_set.counts == (5, 5)


# --- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("classes", "words"),
    [
        ({}, "no pictures in folders"),
        ({"cat": 10}, "only one class"),
        ({"cat": 5, "dog": 4}, "class 'dog' has 4 different pictures, and 5 are the least"),
        ({f"class {number}": 1 for number in range(21)}, "21 classes: use at most 20"),
        ({"cat": 5, "x" * 300: 5}, "has 300 letters"),
        ({"cat": 5, "***": 5}, "without letters"),
        ({"train/cat": 5, "test/cat": 5}, "inside of the class 'test'"),
    ],
)
def test_wrong_classes(classes, words):
    refuses(zipped(classes), words)


def test_too_few_are_left():
    files = files_of(TWO)
    refuses(packed(files | {"cat/4.jpg": files["cat/3.jpg"]}), "class 'cat' has 4 different pictures")
    refuses(packed(files | {"cat/4.jpg": b""}), r"cat/4.jpg is empty")


def test_one_picture_in_two_classes():
    files = files_of(TWO)
    refuses(packed(files | {"dog/same.jpg": files["cat/2.jpg"]}), r"two classes \(cat/2.jpg and dog/same.jpg\)")


def test_only_near_copies():
    near = {f"cat/{side}.png": saved(photo(0).resize((side, side))) for side in range(200, 210)}
    refuses(packed(near | files_of({"dog": 5}, first=40)), "class 'cat' are near-copies")


def test_too_many_files():
    refuses(packed({f"{at % 2}/{at}.jpg": b"" for at in range(10_001)}), "more than 10,000")


@pytest.mark.parametrize(
    "path", ["../../etc/cron.d/x.jpg", "/etc/x.jpg", "cat/../../x.jpg", "..\\x.jpg", "C:/x.jpg", "C:\\x.jpg"]
)
def test_names_that_want_out(path):
    refuses(packed(files_of(TWO) | {path: b"x"}), "outside")


@given(st.binary(max_size=300))
def test_anything_else_is_no_zip(data):
    with pytest.raises(UserError, match=r"not a zip|no pictures"), open_zip(io.BytesIO(data)):
        pass


def test_damage_inside():
    file = zipped(TWO)
    data = bytearray(file.getvalue())
    at = data.index(b"dog/1.jpg") + 200
    data[at : at + 50] = bytes(50)
    refuses(io.BytesIO(bytes(data)), "dog/1.jpg is damaged in the zip")
    refuses(io.BytesIO(file.getvalue()[:-300]), "not a zip file")


def test_encrypted():
    data = bytearray(zipped(TWO).getvalue())
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = data.index(signature) + offset
        struct.pack_into("<H", data, at, 1)
    refuses(io.BytesIO(bytes(data)), "encrypted")


def test_links_are_not_followed(tmp_path):
    file = zipped(TWO)
    with zipfile.ZipFile(file, "a") as archive:
        link = zipfile.ZipInfo("cat/passwd.jpg")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
    file.seek(0)
    assert added(file).report.refused == (("cat/passwd.jpg", "is a link, which is not followed"),)
    for path, data in files_of(TWO).items():
        (tmp_path / "pictures" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "pictures" / path).write_bytes(data)
    (tmp_path / "pictures" / "cat" / "link.jpg").symlink_to("/etc/passwd")
    (tmp_path / "pictures" / "elsewhere").symlink_to(tmp_path)
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pictures" / "cat" / "pipe.jpg")
    report = add(from_folder(tmp_path / "pictures"), ME, "x").report
    assert {name for name, _ in report.refused} <= {"cat/link.jpg", "cat/pipe.jpg", "pictures/elsewhere"}
    assert ("cat/link.jpg", "is a link, which is not followed") in report.refused


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_unusual_packing(method):
    file = zipped(TWO)
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr("cat/x.jpg", b"x" * 1000, method)
    file.seek(0)
    assert "ordinary zip method" in added(file).report.refused[0][1]


def bomb(members, size=30_000_000):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for number in range(members):
            archive.writestr(f"{'cat' if number % 2 else 'dog'}/{number}.jpg", bytes(size))
    file.seek(0)
    return file


def test_a_bomb_stops_while_it_unpacks(monkeypatch):
    monkeypatch.setattr(reading, "FREE_BYTES", 40_000_000)
    file = bomb(10, 10_000_000)
    refuses(file, "far more than pictures do")
    # Headers that lie: the member says that it is small.
    data = bytearray(file.getvalue())
    while (at := data.find(struct.pack("<I", 10_000_000))) >= 0:
        struct.pack_into("<I", data, at, 1000)
    refuses(io.BytesIO(bytes(data)), r"damaged in the zip|far more|not a picture")


def test_one_large_file_is_not_read_to_its_end():
    file = zipped(TWO)
    with zipfile.ZipFile(file, "a", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr("cat/large.jpg", bytes(60_000_000))
    file.seek(0)
    assert added(file).report.refused == (("cat/large.jpg", "is larger than 50 MB"),)


# --- a process of its own ---------------------------------------------------------------------------------------------


def test_apart_is_the_same_and_says_how_far_it_is():
    seen: list[tuple[int, int]] = []
    apart_set = add_upload(zipped(TWO), ME, "Apart", lambda done, of: seen.append((done, of)))
    assert apart_set.own_set.sha256 == added(zipped(TWO)).own_set.sha256
    assert seen == [(done, 10) for done in range(1, 11)]
    with pytest.raises(UserError, match="only one class"):
        add_upload(zipped({"cat": 9}), ME, "One")


def test_leaving_ends_the_process(home):
    def leave(done, of):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        add_upload(zipped({"cat": 60, "dog": 60}), ME, "Left", leave)
    assert own.of_owner(ME) == ()
    assert list((home / "own").iterdir()) == []


def test_a_process_that_dies_is_said(monkeypatch):
    monkeypatch.setattr(apart, "MOST_SECONDS", 0.05)
    with pytest.raises(UserError, match="brought the reading process down"):
        add_upload(zipped(TWO), ME, "Dead")


def test_memory_does_not_grow_with_the_pictures():
    def peak(count):
        found = reading.Found(
            ("a", "b"),
            tuple(reading.Candidate(at % 2, str(at), lambda at=at: small(at)) for at in range(count)),
        )
        tracemalloc.start()
        add(found, ME, "Many")
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    def small(at):
        noise = np.random.default_rng(at).integers(0, 256, (8, 8, 3), dtype=np.uint8)
        return saved(Image.fromarray(noise), "BMP")

    # 3 kB a picture for what is remembered, and not its 150 kB.
    assert peak(250) - peak(50) < 200 * 6_000


# --- the command line -------------------------------------------------------------------------------------------------


def test_command_line(tmp_path, capsys):
    path = tmp_path / "animals.zip"
    path.write_bytes(zipped(TWO).getvalue())
    assert cli.main(["own", "add", str(path), "--quiet"]) == 0
    (one,) = own.of_owner("cli")
    assert one.title == "animals"
    assert f"{one.name}: cat 5, dog 5" in capsys.readouterr().out
    assert cli.main(["own", "list"]) == 0
    assert one.name in capsys.readouterr().out
    assert cli.main(["own", "delete", one.name]) == 0
    assert own.of_owner("cli") == ()
    assert cli.main(["own", "delete", "x"]) == 2
    assert cli.main(["own", "add", str(tmp_path / "nothing")]) == 2
    assert "name a folder or a zip" in capsys.readouterr().err
