"""One picture, near-copies, and a set as it is kept and deleted."""

from __future__ import annotations

import errno
import io
import json
from contextlib import suppress
from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageEnhance, ImageOps

from tests.data.own_files import ME, photo, saved, zipped
from tlcore import inside, kept_weights
from tlcore.data import own
from tlcore.data.own import copies, kept, names
from tlcore.data.own.adding import add
from tlcore.data.own.pictures import Refused, square
from tlcore.data.own.reading import open_zip
from tlcore.errors import UserError
from tlcore.experiment import Experiment
from tlcore.export import made
from tlcore.export.files import KINDS
from tlcore.store import Store


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """A home of the test's own."""
    monkeypatch.setenv("TLCORE_HOME", str(tmp_path))
    yield tmp_path
    Store().close()


def added(**classes):
    with open_zip(zipped(classes or {"cat": 6, "dog": 7})) as found:
        return add(found, ME, "Animals")


# --- one picture ------------------------------------------------------------------------------------------------------


def corners(pixels):
    return [tuple(pixels[y, x].tolist()) for y, x in ((10, 10), (10, -10), (-10, 10), (-10, -10))]


RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


def quarters(mode="RGB", size=(300, 300)):
    image = Image.new("RGB", size, WHITE)
    half = (size[0] // 2, size[1] // 2)
    for at, colour in (((0, 0), RED), ((half[0], 0), GREEN), ((0, half[1]), BLUE)):
        image.paste(colour, (*at, at[0] + half[0], at[1] + half[1]))
    return image.convert(mode)


@pytest.mark.parametrize("kind", ["PNG", "GIF", "WEBP", "BMP", "TIFF"])
def test_formats(kind):
    options = {"lossless": True} if kind == "WEBP" else {}
    assert corners(square(saved(quarters(), kind, **options))) == [RED, GREEN, BLUE, WHITE]


def test_the_middle_of_a_wide_picture():
    wide = Image.new("RGB", (900, 300), WHITE)
    wide.paste(quarters(), (300, 0))
    assert corners(square(saved(wide))) == [RED, GREEN, BLUE, WHITE]


def test_upright_as_the_camera_was_held():
    image = quarters()
    exif = image.getexif()
    exif[0x0112] = 6  # turn a quarter to the right
    assert corners(square(saved(image, "PNG", exif=exif))) == [BLUE, RED, WHITE, GREEN]


def test_transparent_is_white():
    clear = quarters("RGBA")
    clear.putalpha(Image.new("L", clear.size, 0))
    assert (square(saved(clear)) == 255).all()
    assert (square(saved(clear.convert("LA"))) == 255).all()
    half = Image.new("RGBA", (50, 50), (0, 0, 0, 128))
    assert square(saved(half))[0, 0].tolist() == [127, 127, 127]


def test_a_palette_with_a_transparent_colour():
    image = quarters().quantize(4)
    image.info["transparency"] = image.getpixel((0, 0))
    assert corners(square(saved(image, "PNG"))) == [WHITE, GREEN, BLUE, WHITE]


def test_grey_of_8_and_16_bits_and_of_1():
    ramp = np.linspace(0, 65535, 300 * 300).reshape(300, 300)
    deep = square(saved(Image.fromarray(ramp.astype(np.uint16))))
    plain = square(saved(Image.fromarray((ramp / 257).astype(np.uint8))))
    assert np.abs(deep.astype(int) - plain).max() <= 2
    assert square(saved(Image.fromarray(ramp.astype(np.float32)), "TIFF")).max() > 250
    assert set(np.unique(square(saved(Image.new("1", (40, 40), 1))))) == {255}


def test_cmyk():
    image = square(saved(Image.new("CMYK", (60, 60), (0, 255, 255, 0)), "JPEG", quality=95))
    assert image[0, 0, 0] > 200
    assert image[0, 0, 1] < 60


def test_of_a_moving_picture_the_first():
    frames = [Image.new("RGB", (60, 60), colour) for colour in (RED, BLUE)]
    for kind in ("GIF", "WEBP", "PNG"):
        moving = saved(frames[0], kind, save_all=True, append_images=frames[1:], duration=100)
        assert np.abs(square(moving)[0, 0].astype(int) - RED).max() < 12


def test_a_very_large_jpeg_takes_little():
    assert square(saved(Image.new("RGB", (9000, 9000), RED), "JPEG")).shape == (224, 224, 3)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "is empty"),
        (b"\0" * 3000, "is not a picture"),
        (b"MZ\x90" + b"\0" * 3000, "is a program"),
        (b"\x7fELF" + b"\0" * 300, "is a program"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>", "SVG"),
        (b"\n<!DOCTYPE html><html></html>", "web page"),
        (b"PK\x03\x04" + b"\0" * 300, "archive inside of the archive"),
        (b"\0\0\0\x18ftypheic" + b"\0" * 300, "HEIC"),
        (b"%PDF-1.7", "PDF"),
        (saved(quarters(), "JPEG")[:2000], "is cut off"),
        (saved(photo(0), "PNG")[:900], "is cut off"),
        (saved(Image.new("L", (7, 300))), "too small"),
        (saved(Image.new("1", (8000, 8000))), "million pixels"),
        (saved(Image.new("1", (20000, 20000))), "million pixels"),
        (saved(quarters(), "PPM"), "is not a picture that can be read"),
        (saved(quarters(), "EPS"), "is not a picture that can be read"),
    ],
)
def test_what_is_refused(data, words):
    with pytest.raises(Refused, match=words):
        square(data)


@given(st.binary(max_size=400), st.sampled_from(["JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF"]), st.integers(0, 600))
def test_damage_is_refused_or_survived(noise, kind, at):
    whole = bytearray(saved(quarters(size=(60, 60)), kind))
    whole[at : at + len(noise)] = noise
    with suppress(Refused):
        assert square(bytes(whole)).shape == (224, 224, 3)


# --- near-copies ------------------------------------------------------------------------------------------------------


def prints(*pictures):
    return [copies.print_of(square(data)) for data in pictures]


def test_near_copies_share_a_group():
    first = photo(0)
    changed = [
        saved(first, "JPEG", quality=40),
        saved(first.resize((150, 150)), "PNG"),
        saved(ImageEnhance.Brightness(first).enhance(1.1), "PNG"),
        saved(ImageOps.mirror(first), "PNG"),
    ]
    groups = copies.groups_of(prints(saved(first), saved(photo(1)), *changed, saved(photo(2))))
    assert groups.tolist() == [0, 1, 0, 0, 0, 0, 2]


def test_other_pictures_do_not():
    assert len(set(copies.groups_of(prints(*(saved(photo(seed)) for seed in range(40)))).tolist())) == 40


def test_pictures_of_one_colour():
    colours = [saved(Image.new("RGB", (40, 40), colour)) for colour in (RED, GREEN, (0, 0, 0), WHITE, (2, 2, 2))]
    assert copies.groups_of(prints(*colours)).tolist() == [0, 1, 2, 3, 2]


def test_groups_of_many_are_found():
    rng = np.random.default_rng(0)
    base = [copies.print_of(square(saved(photo(seed)))) for seed in range(50)]
    many = [
        copies.Print(int.from_bytes(rng.bytes(8)), int.from_bytes(rng.bytes(8)), one.small)
        for one in base
        for _ in range(49)
    ]
    assert len(np.unique(copies.groups_of([*many, *base]))) >= 50


# --- names ------------------------------------------------------------------------------------------------------------


@given(st.text(max_size=200))
def test_clean_names_are_one_line_without_markup(text):
    name = names.clean(text)
    assert name == names.clean(name)
    assert not set(name) & set('<>[]{}*`$|\\:#~^\n\t"\u202e')


# --- a set ------------------------------------------------------------------------------------------------------------


def test_a_set_is_found_mapped_and_deleted(home):
    one = added().own_set
    assert one.classes == ("cat", "dog")
    assert one.counts == (6, 7)
    assert own.find(one.name) == one
    images, labels, groups = own.arrays(one)
    assert images.shape == (13, 224, 224, 3)
    assert not images.flags.writeable
    assert labels.tolist() == [0] * 6 + [1] * 7
    assert len(np.unique(groups)) == one.groups == 13
    assert own.of_owner(ME) == (one,)
    assert own.of_owner("somebody else") == ()
    with pytest.raises(UserError, match="somebody else"):
        own.delete(one.id, "somebody else")
    own.delete(one.id, ME)
    assert own.find(one.name) is None
    assert [path.name for path in (home / "own").iterdir()] == ["room.lock"]
    with pytest.raises(UserError, match="add them again"):
        own.arrays(one)
    with pytest.raises(UserError, match="no such set"):
        own.delete(one.id, ME)


@given(st.one_of(st.text(max_size=30), st.sampled_from(["own_", "own_../../x", "own_" + "0" * 12, "own_" + "A" * 12])))
def test_foreign_names_are_no_set(name):
    assert own.find(name) is None


@pytest.mark.parametrize("part", ["images", "labels", "groups"])
def test_a_damaged_file_is_said(home, part):
    one = added().own_set
    (home / "own" / one.id / f"{part}.npy").write_bytes(b"\x93NUMPY nothing")
    with pytest.raises(UserError, match="damaged"):
        own.arrays(one)
    np.save(home / "own" / one.id / f"{part}.npy", np.zeros(3))
    with pytest.raises(UserError, match="damaged"):
        own.arrays(one)
    (home / "own" / one.id / "about.json").write_text("{}")
    assert own.find(one.name) is None


def test_sets_go_when_their_day_comes(home, monkeypatch):
    monkeypatch.setenv("TLCORE_OWN_DAYS", "2")
    one = added().own_set
    assert one.expires - one.created == timedelta(days=2)
    assert own.sweep(one.expires - timedelta(seconds=1)) == 0
    (home / "own" / "abc.1.partial").mkdir()
    assert own.sweep(one.expires) == 1
    assert own.of_owner(ME) == ()
    assert not (home / "own" / "abc.1.partial").exists()
    monkeypatch.setenv("TLCORE_OWN_DAYS", "soon")
    with pytest.raises(UserError, match="TLCORE_OWN_DAYS"):
        added()


def test_what_was_made_of_a_set_goes_with_it(home):
    from tests.pages import filling

    one, other = added().own_set, added(cat=8, dog=6).own_set
    experiments = [
        Experiment(target=this.name, labels_per_class=2, seeds=1, strategies=("scratch",)) for this in (one, other)
    ]
    runs = [filling.run(experiment, ME) for experiment in experiments]
    with pytest.raises(UserError, match="another browser"):
        Store().submit(experiments[0], "somebody else")
    pictures = inside.Pictures(np.zeros((1, 32, 32, 3), dtype=np.uint8), np.zeros(1, dtype=np.int16))
    for this, experiment, run in zip((one, other), experiments, runs, strict=True):
        (record,) = Store().records(run)
        inside.keep_pictures(this.name, this.sha256, pictures)
        inside.keep(experiment, "scratch", 0, inside.answers_only("", (32, 32, 3), 0.5, np.zeros(1), np.zeros(1)))
        # As after a comparison from Python: of no job, and in no archive.
        kept_weights.keep(experiment, "scratch", 7, kept_weights.KeptWeights({"head": []}, 1.0, "", 0.5))
        made._keep(made._path(record, KINDS["onnx"]), b"a model")
        (home / "arms").mkdir(exist_ok=True)
        (home / "arms" / f"{record.arm_hash}{own.mark(this.name)}-0123abcd.json").write_text("{}")
    folders = ("arm_weights", "arms", "exports", "inside")
    assert {path.parent.name for path in made_of(one)} == {path.parent.name for path in made_of(other)} == set(folders)
    assert len(made_of(one)) == len(made_of(other)) == 5
    own.delete(one.id, ME)
    assert Store().job(runs[0]) is None
    assert Store().job(runs[1]) is not None
    assert made_of(one) == []
    assert len(made_of(other)) == 5
    assert not inside.has_pictures(one.sha256, (32, 32, 3), 1)
    assert inside.has_pictures(other.sha256, (32, 32, 3), 1)
    inside.keep_pictures(one.name, one.sha256, pictures)  # by a process that was training when the set was deleted
    own.sweep()
    assert made_of(one) == []
    assert len(made_of(other)) == 5


def made_of(one):
    """The files in the home that bear a set's name."""
    return list(inside.home().glob(f"*/*{one.name}*"))


def test_limits_of_room(monkeypatch):
    monkeypatch.setenv("TLCORE_OWN_GB", "0.003")
    added()
    with pytest.raises(UserError, match="are yours: delete a set"):
        added()
    monkeypatch.delenv("TLCORE_OWN_GB")
    monkeypatch.setenv("TLCORE_OWN_HOST_GB", "0.003")
    with pytest.raises(UserError, match="no room for more"):
        added()


def test_a_full_disk_leaves_nothing(home, monkeypatch):
    class Full(io.BytesIO):
        def write(self, data):
            if len(data) > 1000:
                raise OSError(errno.ENOSPC, "No space left on device")
            return super().write(data)

    monkeypatch.setattr(kept.Path, "open", lambda *_: Full())
    with pytest.raises(UserError, match="the disk is full"):
        added()
    monkeypatch.undo()
    assert list((home / "own").iterdir()) == []


def test_about_a_set_is_readable(home):
    one = added().own_set
    about = json.loads((home / "own" / one.id / "about.json").read_text())
    assert about["title"] == "Animals"
    assert (home / "own").stat().st_mode & 0o077 == 0
