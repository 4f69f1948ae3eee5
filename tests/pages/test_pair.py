"""A pair of one's own classes on the Compare page, and how alike the pictures are."""

from __future__ import annotations

from tests.pages.page_text import address, everything
from tlcore.experiment import Experiment


def test_classes_become_a_pair(app):
    at = app("compare")
    at.session_state["pair"] = True
    at.run()
    at.button_group(key="pair.cifar10.source").set_value(["airplane", "ship"]).run()
    assert "Two classes or more" in everything(at)
    offered = at.button_group(key="pair.cifar10.target").options
    assert "ship" not in {option.content if hasattr(option, "content") else option for option in offered}
    at.button_group(key="pair.cifar10.target").set_value(["automobile", "truck"]).run()
    at.button(key="pair.use").click().run()
    assert not at.exception
    shown = address(at)
    assert (shown["src"], shown["tgt"]) == ("cifar10-airplane-ship", "cifar10-automobile-truck")
    assert "Some classes of CIFAR-10: airplane, ship." in everything(at)
    assert not at.button(key="run").disabled


def test_a_link_to_a_chosen_pair_opens(app):
    experiment = Experiment(source="cifar100-bus-train", target="cifar10-cat-dog")
    at = app("compare", **experiment.to_query())
    assert not at.exception
    assert address(at) == experiment.to_query()
    assert "Choose another verdict" not in everything(at)


def test_the_pictures_can_be_held_against_each_other(app):
    at = app("compare", **Experiment(source="drawn_digits", target="uci_digits").to_query())
    (button,) = [button for button in at.button if "How alike" in button.label]
    button.click().run(timeout=120)
    assert "the proxy A-distance of their pixels" in everything(at).replace("\n", " ")
    assert not at.exception
