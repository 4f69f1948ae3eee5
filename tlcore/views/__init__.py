"""Pure functions from records to figures, tables and sentences: no Streamlit, no Keras, nothing measured here.

Figures have transparent backgrounds and leave text colours to the page's theme, so they read in light and dark;
strategies keep the colour and dash of `tlcore.strategies`, and colour is never the only difference.
"""

from tlcore.views.accuracy import accuracy_figure, differences_figure
from tlcore.views.common import is_transfer, title_of
from tlcore.views.confusion import confusion_figure
from tlcore.views.curves import curves_figure, levels_of, live_options, points_of
from tlcore.views.network import NetworkRow, network_table, origin_words, planned_network, recorded_network
from tlcore.views.predicted import Guess, predicted_figure, prediction_sentence
from tlcore.views.studies import (
    estimate_figure,
    estimate_sentence,
    gains_sentence,
    named_value,
    scenario_figure,
    study_figure,
    sweep_sentence,
    sweep_summary,
    target_title,
)
from tlcore.views.tables import confusion_table, curves_table, differences_table, results_table
from tlcore.views.words import (
    accuracy_sentence,
    differing_settings,
    duration,
    experiment_title,
    live_sentence,
    provenance_sentence,
    recorded_label,
    summary_sentence,
    verdict_sentences,
)

__all__ = [
    "Guess",
    "NetworkRow",
    "accuracy_figure",
    "accuracy_sentence",
    "confusion_figure",
    "confusion_table",
    "curves_figure",
    "curves_table",
    "differences_figure",
    "differences_table",
    "differing_settings",
    "duration",
    "estimate_figure",
    "estimate_sentence",
    "experiment_title",
    "gains_sentence",
    "is_transfer",
    "levels_of",
    "live_options",
    "live_sentence",
    "named_value",
    "network_table",
    "origin_words",
    "planned_network",
    "points_of",
    "predicted_figure",
    "prediction_sentence",
    "provenance_sentence",
    "recorded_label",
    "recorded_network",
    "results_table",
    "scenario_figure",
    "study_figure",
    "summary_sentence",
    "sweep_sentence",
    "sweep_summary",
    "target_title",
    "title_of",
    "verdict_sentences",
]
