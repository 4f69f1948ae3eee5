"""Your pictures: adding a set in each way, what the page says of it, comparing, deleting."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from pages.shared import try_panel
from tests.data.own_files import files_of, jpeg, packed, zipped
from tests.pages import filling
from tests.pages.page_text import ME, address, everything
from tlcore import inside, own_plan
from tlcore.data import own
from tlcore.data.own.adding import add
from tlcore.data.own.reading import open_zip
from tlcore.predicted import Neighbour, Prediction
from tlcore.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable

TWO = {"cat": 6, "dog": 7}


@pytest.fixture
def added():
    """A set that is there already."""
    with open_zip(zipped(TWO)) as found:
        return add(found, ME, "Animals").own_set


def upload(at: AppTest, way: str) -> AppTest:
    """Choose where the pictures are."""
    at.button_group(key="own-way").set_value(way).run()
    assert not at.exception
    return at


def test_nothing_yet(app):
    words = everything(app("pictures"))
    assert "This browser alone can use them" in words
    assert "deleted after 7 days, on " in words
    assert "Your sets" not in words


def test_a_zip(app):
    at = upload(app("pictures"), "A zip file")
    assert at.button(key="own-submit").disabled
    files = files_of(TWO) | {"cat/copy.jpg": jpeg(0), "cat/broken.jpg": jpeg(1)[:300]}
    at.file_uploader(key="own-zip-0").set_value([("animals.zip", packed(files).getvalue(), "application/zip")])
    at.text_input(key="own-title").set_value("My *animals*")
    at.run()
    at.button(key="own-submit").click().run()
    assert not at.exception
    (one,) = own.of_owner(ME)
    words = everything(at)
    assert "13 pictures were added to “My animals”" in words
    assert "1 copy left out." in words
    assert "cat/broken.jpg is cut off" in words
    assert f"Deleted on **{one.expires:%d %B %Y}**" in words
    assert "**dog** · 7 pictures" in words
    assert len(at.get("image")) == 2
    assert address(at)["set"] == one.id
    assert not at.file_uploader(key="own-zip-1").value


def test_what_is_wrong_is_said_and_the_page_goes_on(app):
    at = upload(app("pictures"), "A zip file")
    for data, words in ((b"not a zip", "is not a zip file"), (zipped({"cat": 9}).getvalue(), "only one class")):
        at.file_uploader(key="own-zip-0").set_value([("x.zip", data, "application/zip")]).run()
        at.button(key="own-submit").click().run()
        assert words in at.error[0].value
        assert not at.exception
    assert own.of_owner(ME) == ()


def test_a_folder(app):
    at = app("pictures")
    files = [(f"things/{path}", data, "image/jpeg") for path, data in files_of(TWO).items()]
    at.file_uploader(key="own-folder-0").set_value(files).run()
    at.button(key="own-submit").click().run()
    assert not at.exception
    (one,) = own.of_owner(ME)
    assert one.counts == (6, 7)


def test_class_by_class_with_shots_of_the_camera(app):
    at = upload(app("pictures"), "Class by class, or camera")
    assert "0 pictures, 5 more are needed" in everything(at)
    at.text_input(key="own-name-0").set_value("mug")
    at.text_input(key="own-name-1").set_value("pen")
    for number in range(2):
        files = [("a/x.jpg" if at_ else "x.jpg", jpeg(10 * number + at_), "image/jpeg") for at_ in range(5)]
        at.file_uploader(key=f"own-files-0-{number}").set_value(files)
    at.session_state["own_shots"] = {1: [jpeg(50), jpeg(51)]}
    at.run()
    assert "7 pictures" in everything(at)
    at.button(key="own-submit").click().run()
    assert not at.exception
    (one,) = own.of_owner(ME)
    assert (one.classes, one.counts) == (("mug", "pen"), (5, 7))
    assert "own_shots" not in at.session_state


def test_others_see_nothing(app, added):
    words = everything(app("pictures", owner="x" * 32, set=added.id))
    assert "Your sets" not in words
    assert "Animals" not in words


def test_without_imagenet_weights_a_small_network_is_offered(app, added):
    at = app("pictures")
    assert "No network with ImageNet weights" in everything(at)
    at.button(key="own-compare").click().run()
    assert not at.exception
    (job,) = Store().jobs(ME)
    assert (job.experiment.source, job.experiment.target) == ("cifar10", added.name)
    assert job.experiment.seeds == 5
    assert "waiting" in everything(at)


def test_with_imagenet_weights(home, monkeypatch, added):
    network = next(iter(one for one in own_plan.BACKBONES.values() if one.application))
    (home / "weights").mkdir()
    (home / "weights" / network.application.files[0]).write_bytes(b"only its name is read here")
    monkeypatch.setenv("TLCORE_DATA_DIR", str(home / "weights"))
    first = own_plan.starts()[0]
    experiment = own_plan.plan(added, first)
    assert (experiment.source, experiment.backbone, experiment.image_size) == ("imagenet", network.name, 96)
    assert experiment.strategies == own_plan.STRATEGIES


def test_a_finished_run_is_shown_and_goes_with_the_set(app, added):
    filling.run(own_plan.plan(added, own_plan.starts()[0]), ME)
    at = app("pictures", set=added.id)
    assert "Accuracy on the test images" in everything(at)
    at.button(key="own-delete").click().run()
    assert own.of_owner(ME) == (added,)
    at.button(key="own-delete-yes").click().run()
    assert not at.exception
    assert own.of_owner(ME) == ()
    assert Store().jobs(ME) == []
    assert "Your sets" not in everything(at)


def test_a_new_picture_is_asked_about(app, added, monkeypatch):
    """What the process answers is tested with it, in tests/test_predict.py; here, that the page shows it."""
    said = Prediction(
        classes=added.classes,
        probabilities=(0.25, 0.75),
        neighbours=(Neighbour(row=0, label=0, similarity=0.9), Neighbour(row=9, label=1, similarity=0.5)),
    )
    monkeypatch.setattr(try_panel.kept_weights, "has", lambda record: record.seed == 0)
    monkeypatch.setattr(try_panel, "predict_apart", lambda record, picture: said)
    experiment = own_plan.plan(added, own_plan.starts()[0])
    run = filling.run(experiment, ME)
    at = app("pictures")
    assert "Try it on a new picture" in everything(at)
    at.file_uploader(key=f"{run}-file").set_value([("new.jpg", jpeg(3), "image/jpeg")]).run()
    assert not at.exception
    assert "says **dog**" in everything(at)
    assert "dog · 0.50" in str(at.get("image")[-1].proto)


OTHER = "x" * 32


@pytest.fixture
def finished(added):
    """A finished run on the set, with what is kept to look inside of its first two arms."""
    experiment = own_plan.plan(added, own_plan.starts()[0])
    run = filling.run(experiment, ME)
    records = [record for record in Store().records(run) if record.seed == experiment.first_seed]
    truth = np.arange(8) % 2
    for place, record in enumerate(records[:2]):
        made = inside.answers_only("1" * 64, (32, 32, 3), record.test_accuracy, truth, np.maximum(truth, 1 - place))
        made = inside.with_activations(made, np.arange(3), {"conv1": np.random.default_rng(0).random((3, 8, 8, 4))})
        inside.keep(experiment, record.strategy, experiment.first_seed, made)
    inside.keep_pictures(
        experiment.target, "1" * 64, inside.Pictures(np.zeros((8, 32, 32, 3), dtype=np.uint8), truth.astype(np.int16))
    )
    return run


def part(show: str, run: str, owner: str) -> AppTest:
    """One part of a page, as somebody sees it."""

    def page(show: str, run: str) -> None:
        from pages.shared.export_panel import show_export
        from pages.shared.inside_panel import show_inside
        from pages.shared.try_panel import show_try
        from tlcore.store import Store

        job, records = Store().job(run), Store().records(run)
        if show == "try":
            show_try(records, "k")
        elif show == "export":
            show_export(records, job.experiment, "k")
        else:
            show_inside(records, job.experiment, (show,), "k")

    at = AppTest.from_function(page, args=(show, run), default_timeout=30)
    at.session_state["tl_owner"] = owner
    at.run()
    assert not at.exception, at.exception
    return at


def test_who_has_the_link_sees_the_numbers_but_no_pictures(app, finished):
    for owner, images in ((ME, 1), (OTHER, 0)):
        at = app("compare", owner=owner, run=finished)
        at.session_state[f"{finished}-confusion-more"] = True
        at.run()
        assert not at.exception
        assert len(at.get("image")) == images
        assert "test images of this class" in everything(at)
        assert ("only the browser that added them sees them" in everything(at)) == (owner == OTHER)


@pytest.mark.parametrize(("look", "images", "charts"), [("activations", 1, 0), ("fixed_and_broken", 1, 1)])
def test_nobody_else_looks_at_the_pictures_inside(finished, look, images, charts):
    mine, theirs = (part(look, finished, owner) for owner in (ME, OTHER))
    assert len(mine.get("image")) == images
    assert not mine.info
    assert "only the browser that added them" in theirs.info[0].value
    assert not theirs.get("image")
    assert len(theirs.get("plotly_chart")) == charts


def test_a_report_for_somebody_else_has_no_pictures(finished, monkeypatch):
    offered: dict[str, Callable[[], bytes]] = {}
    monkeypatch.setattr("streamlit.download_button", lambda label, data, *_, **__: offered.update({label: data}))
    for owner in (ME, OTHER):
        part("export", finished, owner)
        html = offered["Report"]().decode()
        assert ("<img" in html) == (owner == ME)
        assert ("only the browser that added them sees them" in html) == (owner == OTHER)


def test_somebody_else_may_ask_but_sees_no_neighbours(finished, monkeypatch):
    said = Prediction(classes=("cat", "dog"), probabilities=(0.25, 0.75), neighbours=())
    monkeypatch.setattr(try_panel.kept_weights, "has", lambda record: record.seed == 0)
    monkeypatch.setattr(try_panel, "predict_apart", lambda record, picture: said)
    at = part("try", finished, OTHER)
    at.file_uploader(key="k-file").set_value([("new.jpg", jpeg(3), "image/jpeg")]).run()
    assert not at.exception
    assert "says **dog**" in everything(at)
    assert len(at.get("image")) == 1  # the new one
    assert "only the browser that added them" in at.info[0].value
