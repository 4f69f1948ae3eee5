"""One task beyond classification: what is asked, what was measured, and the answers themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import streamlit as st
from PIL import Image, ImageDraw

from pages.shared.charts import fold, show_figure, show_table
from pages.shared.host import sentence
from tlcore.beyond.results import ARM_STRATEGIES, ARM_TITLES, Beyond, Task
from tlcore.beyond.scenes import SIDE, draw_scenes, read_box, read_mask
from tlcore.data.external import SOURCES
from tlcore.errors import UserError
from tlcore.presets import RECORDS
from tlcore.views.beyond import beyond_figure, beyond_sentences, beyond_table
from tlcore.views.common import look_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tlcore.beyond.results import ArmName

SCALE = 3
GAP = 8
WORDS = {
    "segmentation": "A real handwritten digit lies somewhere among strokes as bright and as thick as its own. From "
    "{labelled} scenes with every pixel marked, a head learns on the maps of the last convolution which pixels are the "
    "digit's.",
    "localisation": "The same scenes, another head: it says where the box is that just holds the digit.",
    "verification": "Nothing is trained at all. Two pictures of clothes, which this network never learned, are taken "
    "for the same kind if their features lie close together. Face recognition works this way: nobody trains it on your "
    "face.",
}


def show_task(task: Task) -> None:
    """Show a task with its recorded result.

    Args:
        task: The task.
    """
    st.markdown(f"#### {task.question}")
    path = RECORDS / f"beyond_{task.name}.json"
    command = f"python -m tlcore beyond {task.name}"
    try:
        found = Beyond.read(path)
    except UserError as error:
        st.info(f"{sentence(error)} Measure it with `{command}`.", icon=":material/inventory_2:")
        return
    st.markdown(WORDS[task.name].format(labelled=found.labelled))
    seeds = len(found.of("frozen"))
    where = found.environment
    st.markdown(
        f":violet-badge[:material/history: recorded] {where.machine}, {seeds} seeds · backbone: "
        f"{SOURCES[found.source].title}, {found.backbone}"
    )
    said = beyond_sentences(found)
    st.markdown("\n".join(f"- {line}" for line in said))
    st.markdown(f"##### {task.score}")
    st.caption("Dot: one seed. Diamond and bar: mean and 95 % interval. Dotted: the best answer without looking.")
    content = (task.name, found.scores)
    show_figure(lambda: beyond_figure(found), content, f"beyond-{task.name}", " ".join(said), recorded=True)
    if any(one.examples for one in found.scores):
        _show_answers(found)
    fold(
        "As a table, and how to measure it again",
        f"beyond-{task.name}-more",
        lambda: _more(found, command),
    )


def _more(found: Beyond, command: str) -> None:
    show_table(beyond_table(found), f"beyond-{found.task}-table", "One row an arm.", digits=3)
    st.markdown("On your own computer, or on this host by whoever runs it:")
    st.code(f"{command} --seeds {len(found.of('frozen'))}", language="bash")


def _show_answers(found: Beyond) -> None:
    st.markdown("##### The answers to the first test scenes")
    first = min(found.of("frozen"))
    by_arm: dict[ArmName, tuple[str, ...]] = {
        one.arm: one.examples for one in found.scores if one.seed == first and one.examples
    }
    count = min(len(examples) for examples in by_arm.values())
    scenes = draw_scenes(count, first, test=True)
    for arm, examples in by_arm.items():
        st.caption(ARM_TITLES[arm])
        st.image(_sheet(found, arm, examples[:count], scenes.images), alt=f"{ARM_TITLES[arm]}: its answers, outlined")


def _sheet(found: Beyond, arm: ArmName, examples: tuple[str, ...], images: NDArray[np.uint8]) -> Image.Image:
    """The scenes in a row, each with the answer drawn in."""
    colour = look_of(ARM_STRATEGIES[arm]).colour
    side = SIDE * SCALE
    sheet = Image.new("RGBA", ((side + GAP) * len(examples) - GAP, side), (0, 0, 0, 0))
    for at, (answer, image) in enumerate(zip(examples, images[..., 0], strict=True)):
        scene = Image.fromarray(image).convert("RGB").resize((side, side), Image.Resampling.NEAREST)
        if found.task == "localisation":
            left, top, right, low = (edge * side for edge in read_box(answer))
            if left < right and top < low:
                ImageDraw.Draw(scene).rectangle((left, top, right, low), outline=colour, width=3)
        else:
            mask = Image.fromarray(read_mask(answer) * np.uint8(150)).resize((side, side), Image.Resampling.NEAREST)
            scene.paste(Image.new("RGB", scene.size, colour), mask=mask)
        sheet.paste(scene, (at * (side + GAP), 0))
    return sheet
