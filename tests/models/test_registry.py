"""The backbones as values: what every entry has to say."""

from __future__ import annotations

from dataclasses import asdict

import pytest

from tlcore.models import BACKBONES, Stage

every_backbone = pytest.mark.parametrize("name", BACKBONES)


@every_backbone
def test_every_backbone_is_described(name: str) -> None:
    backbone = BACKBONES[name]
    assert backbone.name == name
    assert backbone.title
    assert backbone.sentence.endswith((".", "?"))
    assert len(backbone.sentence) <= 120
    assert len(set(backbone.stage_names)) == len(backbone.stages) >= 2
    assert "head" not in backbone.stage_names
    # The stages' names are layer names, parts of file names and keys of stored arrays.
    assert all(stage.isidentifier() for stage in backbone.stage_names)
    assert backbone.student in ("", *BACKBONES)
    assert backbone.student != name


@every_backbone
def test_what_belongs_to_published_weights_is_there_with_them_only(name: str) -> None:
    backbone = BACKBONES[name]
    application = backbone.application
    assert (backbone.family == "application") == (application is not None)
    if application is None:
        assert backbone.trained_size == 0
        assert backbone.channels is None
        assert not backbone.licence
        return
    assert backbone.channels == 3
    assert backbone.min_size <= backbone.input_size <= backbone.trained_size
    assert backbone.paper
    assert backbone.licence == application.licence
    assert all(stage.kind == "application" for stage in backbone.stages)
    assert len(application.ends) == len(backbone.stages) - 1
    assert 0.5 < application.top1 < 0.9
    assert len(application.digest) in (0, 32, 64)
    assert all(file.endswith(".h5") for file in application.files)


def test_titles_are_told_apart() -> None:
    assert len({backbone.title for backbone in BACKBONES.values()}) == len(BACKBONES)


def test_a_stage_is_three_values() -> None:
    """The keys of shipped checkpoints are made of them."""
    assert asdict(BACKBONES["cnn_small"].stages[0]) == {"name": "conv1", "kind": "conv", "width": 16}
    assert asdict(Stage("a", "dense", 2)).keys() == {"name", "kind", "width"}
