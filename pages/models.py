"""Pre-trained models: what each costs, whose weights are on this host, and how to get the others."""

import streamlit as st

from pages.shared.costs_panel import show_costs
from pages.shared.host_models_panel import show_host_models
from pages.shared.models_panel import show_models
from pages.shared.recipe_panel import show_recipe

st.title("Pre-trained models", anchor=False)
st.markdown(
    "Networks that others have trained on ImageNet, with weights that Keras publishes. Choose one by what it has "
    "learned, by what it costs, and by whether it is here."
)
show_models()
show_host_models()
st.header("What they cost", anchor=False)
show_costs("models-costs")
st.header("The recipe, one step at a time", anchor=False)
show_recipe("models")
