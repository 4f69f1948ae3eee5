"""The first page: recorded results, or a clear word that there are none."""

from __future__ import annotations

from tests.pages.page_text import everything
from tests.views import samples
from tlcore.experiment import Experiment
from tlcore.results import Comparison


def write(home, name, experiment, records):
    path = home / "records" / f"{name}.json"
    path.write_text(Comparison(experiment, tuple(records)).to_json(), encoding="utf-8")
    return path


def test_without_recorded_results_it_says_so(app):
    at = app()
    assert len(at.info) == 2
    assert all("is not here" in box.value for box in at.info)
    assert "The labs" in everything(at)


def test_damaged_and_empty_records_are_named(app, home):
    (home / "records" / "cars_to_trucks.json").write_text("{", encoding="utf-8")
    write(home, "mnist_to_fashion", Experiment(), [])
    words = [box.value for box in app().info]
    assert "is damaged" in words[0]
    assert "is empty" in words[1]


def test_recorded_results_carry_their_verdict_and_their_label(app, home):
    write(home, "cars_to_trucks", samples.CARS, samples.cars())
    write(home, "mnist_to_fashion", Experiment(), samples.records(Experiment(), fine_tune_all=(0.60, 0.61, 0.60)))
    words = everything(app())
    assert "Transfer helps: all 3 strategies" in words
    assert "transfer hurts here" in words
    assert words.count("recorded]") == 2
    assert words.count("20 November 2026, Sample processor, 2 cores, 3 seeds") >= 2
    assert "Recorded on 20 November 2026" in words


def test_a_changed_record_is_read_again(app, home):
    write(home, "cars_to_trucks", samples.CARS, samples.cars())
    assert "Transfer helps" in everything(app())
    path = home / "records" / "cars_to_trucks.json"
    path.write_text("no longer a record", encoding="utf-8")
    assert "is damaged" in everything(app())


def test_run_it_yourself_opens_the_same_experiment(app, home):
    write(home, "cars_to_trucks", samples.CARS, samples.cars())
    at = app()
    at.button(key="run-cars_to_trucks").click().run()
    assert not at.exception
    assert at.title[0].value == "Compare strategies"
    assert at.selectbox(key="compare.source").value == "cifar10_cars"
    assert at.number_input(key="compare.labels_per_class").value == 10
    assert not at.button(key="run").disabled
