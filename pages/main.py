"""The app's frame: page settings and navigation."""

import streamlit as st

from pages.shared.host import plain_errors

st.set_page_config(page_title="Transfer learning, measured", page_icon="🔁", layout="wide")
page = st.navigation(
    [
        st.Page("start.py", title="Start", icon=":material/home:", default=True),
        st.Page("compare.py", title="Compare", icon=":material/science:", url_path="compare"),
        st.Page("runs.py", title="Runs", icon=":material/list_alt:", url_path="runs"),
    ],
    position="top",
)
with plain_errors():
    page.run()
