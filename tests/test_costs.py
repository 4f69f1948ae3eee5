"""Costs of networks: what can be counted is exact, what is measured is plausible, and the result comes back."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.views.samples import costs
from tlcore.cli import main
from tlcore.costs import BATCH, COSTS, Costs, input_shape_of, measure_costs
from tlcore.errors import UserError
from tlcore.models import BACKBONES, get_backbone


def test_what_is_counted_is_exact_and_what_is_measured_is_plausible() -> None:
    told: list[str] = []
    found = measure_costs(("cnn_tiny", "mini_resnet_bn"), told.append)
    assert told == ["cnn_tiny", "mini_resnet_bn"]
    tiny, residual = found.costs
    # 3×3×3×8 + 8, 3×3×8×16 + 16, 8×8×16×24 + 24
    assert tiny.parameters == 224 + 1168 + 24_600
    assert (tiny.feature_width, tiny.input_shape) == (24, (32, 32, 3))
    for cost in found.costs:
        assert 4 * cost.parameters < cost.weights_bytes < 4 * cost.parameters + 200_000
        assert cost.images_per_second > 1
        assert 0 <= cost.others <= 1
        assert 0 <= cost.memory_bytes < 2e9
        assert (cost.top1, cost.licence) == (None, "")
    assert residual.feature_width == 128
    assert residual.paper == "He et al. 2016"
    assert tiny.images_per_second > residual.images_per_second
    assert found.batch == BATCH
    assert found.environment.precision == "float32"
    assert Costs.from_json(found.to_json()) == found


@pytest.mark.parametrize("name", BACKBONES)
def test_images_are_those_of_the_published_weights(name: str) -> None:
    backbone = get_backbone(name)
    shape = input_shape_of(backbone)
    backbone.check_input(shape)
    assert shape[0] == (backbone.trained_size or 32)


def test_unknown_names_and_no_names_are_refused() -> None:
    with pytest.raises(UserError, match="did you mean resnet50"):
        measure_costs(("resnet5",))
    with pytest.raises(UserError, match="at least one"):
        measure_costs(())


def test_the_command_writes_what_it_has_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[tuple[str, ...]] = []

    def pretend(names: tuple[str, ...], _: object) -> Costs:
        asked.append(names)
        return costs()

    monkeypatch.setattr("tlcore.costs.measure_costs", pretend)
    path = tmp_path / "costs.json"
    assert main(["costs", "resnet50", "cnn_small", "--json", str(path)]) == 0
    assert Costs.read(path) == costs()
    assert "resnet50" in capsys.readouterr().out
    assert main(["costs"]) == 0
    assert asked == [("resnet50", "cnn_small"), tuple(BACKBONES)]


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.json"
    path.write_text("{}", encoding="utf-8")
    with pytest.raises(UserError, match="not a table of costs"):
        Costs.read(path)


@pytest.mark.skipif(not COSTS.is_file(), reason="not recorded yet: run python -m tlcore costs --json")
def test_the_recorded_costs_are_of_every_network() -> None:
    recorded = Costs.read(COSTS)
    assert {cost.backbone for cost in recorded.costs} == set(BACKBONES)
    for cost in recorded.costs:
        backbone = get_backbone(cost.backbone)
        assert cost.input_shape == input_shape_of(backbone)
        assert cost.top1 == (backbone.application.top1 if backbone.application else None)
        assert cost.licence == backbone.licence
        assert cost.others < 0.15, f"{cost.backbone} was measured while other programs computed: measure it again"
