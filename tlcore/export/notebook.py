"""One arm of an experiment as a notebook: the stand-alone script in cells, with words between them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tlcore.export.script import parts_of

if TYPE_CHECKING:
    from tlcore.experiment import Experiment, RunRecord


def notebook(experiment: Experiment, strategy: str, seed: int = 0, record: RunRecord | None = None) -> str:
    """Write an arm as a Jupyter notebook of plain Keras.

    Args:
        experiment: What is compared.
        strategy: Name of the arm's strategy.
        seed: The arm's seed.
        record: What the engine measured with it, whose versions the notebook then names; None for this host's.

    Returns:
        The notebook as JSON text. Its metadata has the requirements under ``tlcore``.

    Raises:
        UserError: As `tlcore.export.script.script`.
    """
    import nbformat  # takes a while to import, and pages import this module at their start

    new: Any = nbformat.v4
    parts = parts_of(experiment, strategy, seed, record)
    install = f"%pip install -q {' '.join(parts.requirements)}"
    cells: list[Any] = [
        new.new_markdown_cell(
            f"# {parts.title}\n\n{parts.sentence}\n\nPlain Keras for seed {seed} of an experiment. It draws the "
            "labelled images, the first weights and the batches as the engine does, so it comes out at the engine's "
            f"test accuracy, give or take a picture or two.\n\n{_listed(parts.notes)}"
        ),
        new.new_markdown_cell(
            f"## Versions\n\nWritten on Python {parts.python} for these versions; others should do, to other digits:"
            f"\n\n```\n{install}\n```"
        ),
    ]
    for part in parts.parts:
        cells.append(new.new_markdown_cell(f"## {part.title}\n\n{part.words}"))
        cells += [new.new_code_cell(piece.strip("\n")) for piece in part.pieces]
    command = "\n".join(parts.command)
    cells.append(
        new.new_markdown_cell(
            "## Beside other strategies\n\nThe engine repeats this arm, beside others and with more seeds, with\n\n"
            f"```sh\n{command}\n```\n\nor in the app at `{parts.link}`."
        )
    )
    for place, cell in enumerate(cells):
        cell["id"] = f"cell-{place}"  # the same notebook for the same arm
    made = new.new_notebook(
        cells=cells,
        metadata={
            "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"},
            "language_info": {"name": "python", "version": parts.python},
            "tlcore": {"requirements": list(parts.requirements), "arm": experiment.arm_hash(strategy, seed)},
        },
    )
    nbformat.validate(made)
    return str(nbformat.writes(made))


def _listed(notes: tuple[str, ...]) -> str:
    return "\n".join(f"- {note}" for note in notes)
