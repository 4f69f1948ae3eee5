"""The glossary: what the words mean, and which lab shows it."""

import streamlit as st

from tlcore import course
from tlcore.lessons import DEFAULT_LANGUAGE

language = st.query_params.get("lang", DEFAULT_LANGUAGE)
words = {term.title or name: term for name, term in course.terms(language).items()}
st.html("<style>.st-key-terms h2 { font-size: 1.15rem; padding: 0.6rem 0 0 }</style>")
st.title("Glossary", anchor=False)
with st.container(width=820):
    sought = st.text_input(
        "Search a word",
        type="search",
        key="term",
        icon=":material/search:",
        placeholder="fine-tuning, overfitting, …",
        max_chars=100,
        live=True,
        bind="query-params",
    )
    wanted = (sought or "").strip().casefold()
    named = [word for word in words if wanted in word.casefold()]
    told = [word for word in words if word not in named and wanted in words[word].text.casefold()]
    # Who looks for a word wants its entry before those that only mention it.
    shown = sorted(named, key=str.casefold) + sorted(told, key=str.casefold)
    st.caption(f"{len(shown)} of {len(words)} words" if wanted else f"{len(words)} words")
    if not shown:
        st.info(f"No entry holds “{sought}”. Try a shorter word, or the start of one.", icon=":material/search_off:")
    entries: list[str] = []
    for word in shown:
        link = course.lesson_link(words[word].lesson, language)
        entries.append(f"## {word}\n{words[word].text}" + (f"  \n:material/science: {link}" if link else ""))
    with st.container(key="terms"):
        st.markdown("\n\n".join(entries))
