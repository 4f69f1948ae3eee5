"""Your pictures: add some of your own, see what was kept of them, and measure what transfer is worth on them."""

import streamlit as st

from pages.shared import own_sets, own_upload
from pages.shared.host import owner
from tlcore.data import own

me = owner()
st.title("Your pictures", anchor=False)
st.markdown(
    "Bring pictures of two to twenty kinds of things, at least five of each, and find out what a network that has "
    "learned something else is worth on them."
)
st.caption(own_upload.privacy())
sets = own.of_owner(me)
# Two names, so two elements: once there is a set this one folds away, and the set has the screen.
with st.expander(
    "Add another set" if sets else "Add pictures", icon=":material/add_photo_alternate:", expanded=not sets
):
    own_upload.draw(me)
own_upload.show_report()
if sets:
    own_sets.draw(sets, me)
