"""Beyond one class a picture: segmentation, localisation and verification on the same frozen backbone."""

import streamlit as st

from pages.shared.beyond_panel import show_task
from tlcore.beyond.results import TASKS

st.title("Not only classes", anchor=False)
st.markdown(
    "Programs that outline things, find them or recognise faces stand on the same **backbones** as those that name a "
    "picture's class. Only the head is another one. Here a network that has learned MNIST's handwritten digits is held "
    "frozen, and its features serve three other tasks, each against honest alternatives."
)
for tab, task in zip(st.tabs([task.title for task in TASKS.values()]), TASKS.values(), strict=True):
    with tab:
        show_task(task)
