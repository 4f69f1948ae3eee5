"""A guess before the run, shown beside the result: optional, never in the way, kept for this visit only."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import streamlit as st

from tlcore.strategies import STRATEGIES
from tlcore.views import title_of
from tlcore.views.common import percent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tlcore.experiment import Experiment, PairedComparison, RunRecord

BEATS = {"helps": "Yes, it scores higher", "no clear difference": "No clear difference", "hurts": "No, it scores lower"}
_KEPT = "predictions"


class Prediction(NamedTuple):
    """What somebody expected.

    Args:
        best: Strategy that they expected to score highest, or None.
        strategy: Strategy that they expected something of against scratch, or None.
        verdict: What they expected of it, or None.
    """

    best: str | None
    strategy: str | None
    verdict: str | None


def ask(experiment: Experiment) -> Prediction:
    """Ask for a guess.

    Args:
        experiment: What will run.

    Returns:
        The guess, as far as one was made.
    """
    best, verdict = None, None
    transfer = [name for name in reversed(experiment.strategies) if STRATEGIES[name].kind == "transfer"]
    with st.container(border=True, key="predict"):
        st.markdown("**Predict first** · optional: a guess makes the result stick")
        if len(experiment.strategies) > 1:
            best = st.pills(
                "Which will score highest?", experiment.strategies, format_func=title_of, key="predict.best"
            )
        if transfer and "scratch" in experiment.strategies:
            verdict = st.pills(
                f"Will “{title_of(transfer[0])}” beat “{title_of('scratch')}”?",
                list(BEATS),
                format_func=BEATS.__getitem__,
                key="predict.beats",
            )
    return Prediction(best, transfer[0] if verdict else None, verdict)


def keep(run_id: str, prediction: Prediction) -> None:
    """Remember a guess for a run."""
    if prediction.best or prediction.verdict:
        st.session_state.setdefault(_KEPT, {})[run_id] = prediction


def show(run_id: str, records: Sequence[RunRecord], comparisons: Sequence[PairedComparison]) -> None:
    """Show the guess that was made for a run, if any, beside what was measured.

    Args:
        run_id: The run.
        records: Its records; at least one.
        comparisons: Its comparisons.
    """
    guess: Prediction | None = st.session_state.get(_KEPT, {}).get(run_id)
    if guess is None:
        return
    lines: list[str] = []
    if guess.best:
        values: dict[str, list[float]] = {}
        for record in records:
            values.setdefault(record.strategy, []).append(record.test_accuracy)
        means = {name: sum(scores) / len(scores) for name, scores in values.items()}
        top = max(means, key=means.__getitem__)
        right = ":material/check: as you said" if top == guess.best else f"you said {title_of(guess.best)}"
        lines.append(f"Highest mean: **{title_of(top)}** ({percent(means[top])}) · {right}")
    measured = next((item.verdict for item in comparisons if item.strategy == guess.strategy), None)
    if guess.strategy and guess.verdict and measured:
        right = ":material/check: as you said" if measured == guess.verdict else f"you said “{BEATS[guess.verdict]}”"
        lines.append(f"{title_of(guess.strategy)} against {title_of('scratch')}: **{measured}** · {right}")
    if lines:
        st.info("**Your prediction**  \n" + "  \n".join(lines), icon=":material/psychology_alt:")
