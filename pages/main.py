"""The app's frame: page settings and navigation."""

import streamlit as st

from pages.shared.host import is_dark, plain_errors
from pages.shared.lab import lab_page
from tlcore.lessons import lessons

st.set_page_config(page_title="Transfer learning, measured", page_icon="🔁", layout="wide")
# White on the dark theme's buttons is below what WCAG asks of contrast.
DARK = """
button[data-testid="stBaseButton-primary"] { background-color: #17639B !important; border-color: #17639B !important }
[data-selected="true"] p, [data-selected="true"] span { color: #D5EAF8 !important }
"""
if is_dark():
    st.html(f"<style>{DARK}</style>")
page = st.navigation(
    {
        "": [st.Page("start.py", title="Start", icon=":material/home:", default=True)],
        "Labs": [lab_page(lesson) for lesson in lessons().values()],
        "Experiment": [
            st.Page("compare.py", title="Compare", icon=":material/science:", url_path="compare"),
            st.Page("models.py", title="Models", icon=":material/model_training:", url_path="models"),
            st.Page("pictures.py", title="Your pictures", icon=":material/photo_library:", url_path="pictures"),
            st.Page("beyond.py", title="Not only classes", icon=":material/filter_center_focus:", url_path="beyond"),
            st.Page("runs.py", title="Runs", icon=":material/list_alt:", url_path="runs"),
        ],
        "Review": [
            st.Page("claims.py", title="What we claim and what we measured", icon=":material/fact_check:"),
            st.Page("glossary.py", title="Glossary", icon=":material/menu_book:"),
            st.Page("quiz.py", title="Quiz", icon=":material/quiz:"),
            st.Page("certificate.py", title="Your course", icon=":material/workspace_premium:"),
        ],
    },
    position="top",
)
with plain_errors():
    page.run()
