"""The Compare page in every state that a learner can bring it into."""

from __future__ import annotations

import pytest

from pages.shared.controls import CONTROLS
from tests.pages import filling
from tests.pages.page_text import ME, address, everything
from tests.views import samples
from tlcore.experiment import QUERY_KEYS, Experiment
from tlcore.jobs.queue import Queue
from tlcore.store import Store

OTHER = Experiment(
    source="uci_digits",
    target="drawn_garments",
    backbone="cnn_deep",
    strategies=("fine_tune_all", "scratch", "pixel_baseline", "lp_ft"),
    labels_per_class=33,
    seeds=4,
    first_seed=17,
    steps=120,
    seconds=45.5,
    batch_size=24,
    learning_rate=0.00037,
    learning_rates=(0.00021, 0.001),
    augmentation="shift_flip",
    precision="float32",
    cut=2,
    unfreeze_at=0.35,
    normalization="freeze",
    source_images=1500,
)
PUBLISHED = Experiment(
    source="imagenet",
    target="uci_digits",
    backbone="mobilenet_v2_035",
    strategies=("scratch", "feature_extraction"),
    image_size=96,
    weights="mine.weights.h5",
)


def test_every_field_has_a_control():
    assert set(CONTROLS) == set(Experiment.model_fields) == set(QUERY_KEYS.values())
    assert all(control.label and control.help for control in CONTROLS.values())


def test_at_first_it_offers_the_usual_experiment(app):
    at = app("compare")
    assert address(at) == Experiment().to_query()
    assert not at.button(key="run").disabled
    assert "4 × 3 = 12 trainings" in at.button(key="run").label
    assert not at.error


@pytest.mark.parametrize(
    "experiment", [Experiment(), OTHER, OTHER.model_copy(update={"learning_rate": None, "cut": 0}), PUBLISHED]
)
def test_a_link_restores_everything(app, experiment):
    at = app("compare", **experiment.to_query())
    assert not at.warning
    assert address(at) == experiment.to_query()
    at.button(key="run").click().run()
    (job,) = Store().jobs(ME)
    assert job.experiment == experiment
    assert address(at)["run"] == job.id


def test_a_bad_link_is_corrected_and_says_so(app):
    at = app("compare", src="nowhere", n="99999", arms="scratch,magic", lr="-3", foreign="<script>")
    words = " ".join(box.value for box in at.warning)
    for part in ("nowhere", "99999", "magic", "-3"):
        assert part in words
    assert not at.button(key="run").disabled
    assert "foreign" not in address(at)
    at.number_input(key="compare.seeds").set_value(5).run()
    assert not at.warning  # said once, gone as soon as something else is chosen
    assert address(at)["seeds"] == "5"


def test_changing_a_control_changes_the_address(app):
    at = app("compare")
    at.selectbox(key="compare.target").set_value("uci_digits")
    at.selectbox(key="compare.backbone").set_value("mlp")
    at.toggle(key="compare.learning_rate.auto").set_value(False)
    at.run()
    query = address(at)
    assert (query["tgt"], query["net"], query["lr"]) == ("uci_digits", "mlp", "0.001")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda at: at.selectbox(key="compare.source").set_value("fashion_mnist"), "choose two different datasets"),
        (lambda at: at.selectbox(key="compare.target").set_value("uci_digits"), "ask for 93 or fewer"),
        (lambda at: at.selectbox(key="compare.backbone").set_value("mlp"), "choose another backbone"),
        (lambda at: at.button_group(key="compare.strategies").set_value([]), "choose at least one strategy"),
        (lambda at: at.button_group(key="compare.learning_rates").set_value([]), "give 1 to 8 learning rates"),
    ],
)
def test_what_cannot_run_says_what_to_do_and_disables_run(app, change, words):
    start = Experiment(strategies=("scratch", "freeze_conv"), labels_per_class=200)
    at = app("compare", **start.to_query())
    change(at)
    at.run()
    assert words in at.error[0].value
    assert at.button(key="run").disabled
    assert address(at) == start.to_query()  # the last good settings stay in the address


def test_a_cut_beyond_a_shallower_network_goes_back_to_automatic(app):
    at = app("compare", **Experiment(backbone="cnn_deep", cut=5).to_query())
    at.selectbox(key="compare.backbone").set_value("mlp").run()
    assert not at.exception
    assert at.selectbox(key="compare.cut").value == "automatic"


@pytest.mark.parametrize(("seeds", "words"), [(1, "no verdict"), (2, "Two seeds"), (3, "")])
def test_few_seeds_are_warned_of_before_the_run(app, seeds, words):
    text = everything(app("compare", **Experiment(seeds=seeds).to_query()))
    assert words in text
    assert ("Two seeds" in text) == (seeds == 2)


def test_curves_of_a_run_without_results_are_kept(app):
    experiment = Experiment()
    run = filling.run(experiment, ME, arms=0)
    queue = Queue()
    preparation = queue.claim_next(queue.add_worker("test", 1))
    queue.finish_preparation(preparation.key, needed=True)
    Queue().interrupt(filling.start_next(experiment), "the computer was switched off")
    at = app("compare", run=run)
    assert "Learning curves" in everything(at)
    assert len(at.get("plotly_chart")) == 1
    assert "arms had finished" not in at.warning[0].value


def test_missing_data_are_announced(app):
    words = everything(app("compare", **Experiment(source="uci_digits", target="drawn_garments").to_query()))
    assert "not on this machine" not in words


def test_run_then_watch_then_stop(app):
    at = app("compare")
    at.button(key="run").click().run()
    assert at.button(key="run").disabled
    words = everything(at)
    assert "waiting" in words
    assert "Nothing trains on this machine" in words
    assert "Number 1 in the queue" in at.get("progress")[0].proto.text
    at.button(key="stop").click().run()
    (job,) = Store().jobs(ME)
    assert job.state == "stopped"
    assert "was stopped" in everything(at)
    assert not at.button(key="run").disabled


def test_a_running_job_shows_its_arms_and_its_curves(app):
    experiment = Experiment()
    run = filling.run(experiment, ME, arms=5)
    filling.start_next(experiment)
    at = app("compare", run=run)
    words = everything(at)
    assert "46 %" in words
    assert "at step 300 (2 seeds)" in words
    assert len(at.get("echarts_chart")) == 1
    assert address(at) == experiment.to_query() | {"run": run}
    assert at.get("progress")[0].proto.value > 30


def test_somebody_elses_run_can_be_watched_and_not_stopped(app):
    run = filling.run(Experiment(), "someone else", arms=2)
    at = app("compare", run=run)
    assert "stop" not in {button.key for button in at.button}
    assert "running" in everything(at)


def test_a_finished_run_shows_words_first_and_all_its_parts(app):
    run = filling.run(Experiment(strategies=samples.ALL_ARMS), ME)
    at = app("compare", run=run)
    words = everything(at)
    assert "transfer strategies" in words
    assert "points against From scratch (95 % interval" in words
    assert "Trained on 20 November 2026" in words
    assert len(at.get("plotly_chart")) == 3
    assert len(at.dataframe) == 2
    assert len(at.get("download_button")) == 4
    assert any("tl-network" in element.proto.body for element in at.get("html"))
    # What is folded away is sent once it is opened.
    at.session_state[f"{run}-curves-more"] = at.session_state[f"{run}-confusion-more"] = True
    at.run()
    assert len(at.get("plotly_chart")) == 4
    assert len(at.dataframe) > 2
    at.selectbox(key=f"{run}-confusion-arm").set_value("direct_reuse").run()
    assert not at.exception


def test_the_link_of_a_run_restores_its_settings(app):
    run = filling.run(OTHER, ME)
    assert address(app("compare", run=run)) == OTHER.to_query() | {"run": run}


@pytest.mark.parametrize("name", ["nothing", "../../etc/passwd", "' OR 1=1 --", "x" * 500])
def test_a_run_that_is_not_here_says_so(app, name):
    at = app("compare", run=name)
    assert "is not on this machine" in at.info[-1].value
    assert not at.button(key="run").disabled


def test_a_failed_run_says_why_and_keeps_what_was_measured(app):
    experiment = Experiment()
    run = filling.run(experiment, ME, arms=6)
    Queue().fail(filling.start_next(experiment), "the disk is full: free some space and run again")
    at = app("compare", run=run)
    assert "This run failed: the disk is full: free some space and run again." in at.error[0].value
    assert "6 of 12 arms had finished" in at.error[0].value
    assert "Learning curves" in everything(at)
    assert not at.button(key="run").disabled


def test_a_run_that_failed_at_once_shows_no_results(app):
    experiment = Experiment()
    run = Store().submit(experiment, ME)
    unit = Queue().claim_next(Queue().add_worker("test", 3))
    Queue().fail(unit.key, "mnist cannot be found: set TLCORE_DATA_DIR")
    at = app("compare", run=run)
    assert "failed: mnist cannot be found" in at.error[0].value
    assert len(at.get("plotly_chart")) == 0


def test_an_interrupted_run_says_what_to_do(app):
    experiment = Experiment()
    run = filling.run(experiment, ME, arms=4)
    Queue().interrupt(filling.start_next(experiment), "the computer was switched off")
    at = app("compare", run=run)
    assert "was interrupted: the computer was switched off." in at.warning[0].value
    assert "Press Run" in at.warning[0].value
    assert "Learning curves" in everything(at)


def test_an_earlier_run_is_offered_and_run_trains_again(app):
    earlier = filling.run(Experiment(), "someone else")
    at = app("compare")
    at.button(key="open-earlier").click().run()
    assert address(at)["run"] == earlier
    assert "points against From scratch" in everything(at)
    at.button(key="run").click().run()
    assert [job.state for job in Store().jobs(ME)] == ["queued"]


def test_changed_settings_are_named_beside_an_old_result(app):
    run = filling.run(Experiment(), ME)
    at = app("compare", run=run)
    at.number_input(key="compare.labels_per_class").set_value(50).run()
    assert "changed since this run: labels per class" in everything(at)
    at.button(key="back").click().run()
    assert at.number_input(key="compare.labels_per_class").value == 20
    assert "changed since" not in everything(at)


def test_a_prediction_is_shown_beside_the_result(app):
    at = app("compare")
    at.button_group(key="predict.best").set_value("scratch")
    at.button_group(key="predict.beats").set_value("helps")
    at.run()
    at.button(key="run").click().run()
    queue = Queue()
    worker = queue.add_worker("test", 1)
    while (unit := queue.claim_next(worker)) is not None:
        if unit.ordinal < 0:
            queue.finish_preparation(unit.key, needed=True)
        else:
            queue.finish_arm(unit.key, samples.record(Experiment(), unit.strategy, unit.seed).model_dump_json())
    at.run()
    words = next(box.value for box in at.info if "Your prediction" in box.value)
    assert "you said From scratch" in words
    assert "as you said" in words


def test_leaving_and_coming_back_loses_nothing(app, request):
    run = filling.run(OTHER, ME, arms=2)
    at = app("compare", run=run)
    pages = request.path.parents[2] / "pages"
    at.switch_page(str(pages / "start.py")).run()
    at.query_params.clear()
    at.switch_page(str(pages / "compare.py")).run()
    assert not at.exception
    assert address(at) == OTHER.to_query() | {"run": run}


def test_too_many_runs_are_refused_in_plain_words(app):
    for _ in range(4):
        Store().submit(Experiment(), ME)
    at = app("compare")
    at.button(key="run").click().run()
    assert "have not finished" in at.error[0].value
    assert not at.exception


def test_a_damaged_database_is_one_line(app, home):
    (home / "home").mkdir(exist_ok=True)
    Store().close()
    for path in (home / "home").glob("tlcore.sqlite*"):
        path.unlink()
    (home / "home" / "tlcore.sqlite").write_text("not a database at all, just text\n" * 50)
    at = app("compare")
    assert "is damaged" in at.error[0].value
