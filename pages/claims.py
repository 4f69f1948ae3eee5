"""What is claimed of transfer learning, what was measured, and the link that measures it again."""

from typing import get_args

import streamlit as st

from pages.shared.host import sentence
from tlcore import course
from tlcore.course import Claim, Measured, Standing
from tlcore.lessons import DEFAULT_LANGUAGE

BADGES = {
    "borne out": ":green-badge[:material/check_circle: borne out]",
    "depends": ":orange-badge[:material/call_split: depends]",
    "not borne out": ":red-badge[:material/cancel: not borne out]",
    "not judged": ":gray-badge[:material/help: not judged yet]",
    "not measured": ":gray-badge[:material/hourglass_empty: not measured yet]",
}

language = st.query_params.get("lang", DEFAULT_LANGUAGE)
claims = course.claims(language)
found = course.measured_claims(language)


def label(standing: Standing) -> str:
    """A filter's name, with how many claims it shows."""
    word = f"{standing} yet" if standing in ("not judged", "not measured") else standing
    return f"{word} ({sum(item.standing == standing for item in found.values())})"


def show_claim(name: str, claim: Claim, item: Measured) -> None:
    """Show a claim, the measured effect first, then the words."""
    with st.container(border=True, gap="xsmall"):
        st.header(f"{name} · {claim.claim}", anchor=name.lower())
        first = item.effects[0] if item.effects else None
        effect = f" **{first.words}** · {course.described(first.number)}" if first else ""
        st.markdown(BADGES[item.standing] + effect)
        if item.missing:
            st.markdown(f":material/inventory_2: {sentence(item.missing)}")
        st.markdown(item.finding)
        if item.effects:
            with st.expander("The numbers, and the recorded results that hold them"):
                lines = [
                    f"- **{effect.words}** · {course.described(effect.number)}, {_repetitions(effect.interval.n)}"
                    for effect in item.effects
                ]
                st.markdown("\n".join(lines))
        with st.container(horizontal=True, vertical_alignment="center"):
            if item.experiment:
                st.page_link(
                    "compare.py",
                    label="Measure it again",
                    icon=":material/replay:",
                    query_params=item.experiment.to_query(),
                )
            if link := course.lesson_link(claim.lesson, language):
                st.markdown(f":material/science: {link}", width="content")


def _repetitions(count: int) -> str:
    return f"{count} seed{'s' * (count != 1)}"


st.html("<style>.st-key-claims h2 { font-size: 1.15rem; line-height: 1.4; padding: 0 0 0.75rem }</style>")
st.title("What we claim and what we measured", anchor=False)
with st.container(width=900, key="claims"):
    st.markdown(
        "Each of these is said of transfer learning, here and elsewhere. Beside it stands what the recorded results "
        "show: means over seeds, in brackets their 95 % interval. The verdict is worked out from those numbers. "
        "“Depends” means that it held in some of the experiments and not in others: finding out when is the point."
    )
    wanted = st.pills(
        "Show only",
        [standing for standing in get_args(Standing) if any(item.standing == standing for item in found.values())],
        selection_mode="multi",
        format_func=label,
        key="standing",
        wrap=True,
    )
    sought = st.text_input(
        "Search the claims", type="search", key="claim", icon=":material/search:", max_chars=100, live=True
    )
    text = (sought or "").strip().casefold()
    shown = [
        name
        for name, claim in claims.items()
        if (not wanted or found[name].standing in wanted)
        and text in f"{name} {claim.claim} {found[name].finding}".casefold()
    ]
    st.caption(f"{len(shown)} of {len(claims)} claims")
    if not shown:
        st.info("No claim fits. Choose another verdict, or a shorter word.", icon=":material/search_off:")
    for name in shown:
        show_claim(name, claims[name], found[name])
