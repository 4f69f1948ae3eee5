"""The quiz, the glossary, the claims and the certificate, as a learner finds and leaves them."""

from __future__ import annotations

import json

import pytest

from tests.pages import filling
from tests.pages.page_text import ME, address, everything
from tlcore import course, recorded
from tlcore.lessons import lessons, text_of
from tlcore.presets import RECORDS
from tlcore.store import Store

QUESTIONS = course.questions()
FIRST = next(iter(QUESTIONS))


def answer_all(right: bool) -> None:
    """Answer every question in the store."""
    given = {
        name: item.answer if right else next(choice for choice in item.choices if choice != item.answer)
        for name, item in QUESTIONS.items()
    }
    Store().note_progress(ME, course.QUIZ, answers=given)


# --- quiz -------------------------------------------------------------------------------------------------------------


def test_a_question_is_explained_only_after_it_is_answered(app):
    at, item = app("quiz"), QUESTIONS[FIRST]
    assert at.header[0].value == item.question
    assert item.choices[item.answer].explain not in everything(at)
    assert at.button(key="answer").disabled
    at.radio(key=f"quiz.{FIRST}").set_value(item.answer).run()
    at.button(key="answer").click().run()
    words = everything(at)
    assert "Right: " in at.success[0].value
    assert all(choice.explain in words for choice in item.choices.values())
    assert Store().progress(ME)[course.QUIZ].answers == {FIRST: item.answer}


def test_a_wrong_answer_gets_its_reply_and_the_right_one(app):
    at, item = app("quiz"), QUESTIONS[FIRST]
    wrong = next(choice for choice in item.choices if choice != item.answer)
    at.radio(key=f"quiz.{FIRST}").set_value(wrong).run()
    at.button(key="answer").click().run()
    assert item.choices[wrong].explain in at.warning[0].value
    assert item.choices[item.answer].explain in at.success[0].value
    assert not [radio for radio in at.radio if radio.key == f"quiz.{FIRST}"]  # the first answer counts


def test_next_skip_and_back(app):
    at, (first, second, *_) = app("quiz"), QUESTIONS
    assert at.button(key="next").label == "Skip"
    at.button(key="next").click().run()
    assert at.header[0].value == QUESTIONS[second].question
    at.button(key="back").click().run()
    assert at.header[0].value == QUESTIONS[first].question


def test_it_goes_on_where_it_was_left(app):
    first, second, *_ = QUESTIONS
    Store().note_progress(ME, course.QUIZ, answers={first: "x", "no_longer_asked": "a"})
    at = app("quiz")
    assert at.header[0].value == QUESTIONS[second].question
    at.button(key="back").click().run()  # an answer that is no choice any more
    assert not at.exception
    assert "The right answer" in at.success[0].value


@pytest.mark.parametrize("right", [True, False])
def test_the_end_says_what_to_look_at_again(app, right):
    answer_all(right)
    at = app("quiz")
    count = len(QUESTIONS)
    assert f"{count if right else 0} of {count} right" in everything(at)
    again = [button for button in at.button if str(button.key).startswith("show-")]
    assert len(again) == (0 if right else count)
    if again:
        again[-1].click().run()
        assert at.header[0].value == list(QUESTIONS.values())[-1].question


def test_starting_again_forgets(app):
    answer_all(True)
    at = app("quiz")
    at.button(key="restart").click().run()
    assert Store().progress(ME)[course.QUIZ].answers == {}
    assert at.header[0].value == QUESTIONS[FIRST].question
    assert at.button(key="answer").disabled


def test_a_link_asks_about_one_lesson_and_keeps_the_other_answers(app):
    lesson = QUESTIONS[FIRST].lesson
    mine = {name for name, item in QUESTIONS.items() if item.lesson == lesson}
    answer_all(True)
    at = app("quiz", lesson=lesson)
    assert f"Question 1 of {len(mine)}" in everything(at)
    at.button(key="restart").click().run()
    assert Store().progress(ME)[course.QUIZ].answers.keys() == QUESTIONS.keys() - mine
    assert f"of {len(QUESTIONS)}" in everything(app("quiz", lesson="nowhere"))


# --- glossary ---------------------------------------------------------------------------------------------------------


def test_the_glossary_is_in_order_and_links_to_labs(app):
    words = everything(app("glossary"))
    places = [words.index(f"## {name}\n") for name in sorted(course.terms(), key=str.casefold)]
    assert places == sorted(places)
    term = next(term for term in course.terms().values() if term.lesson in lessons())
    assert course.lesson_link(term.lesson) in words


def test_the_search_finds_words_first_and_says_if_there_is_none(app):
    at = app("glossary")
    name = next(iter(course.terms()))
    at.text_input(key="term").set_value(name.upper()).run()
    assert at.markdown[-1].value.startswith(f"## {name}\n")
    at.text_input(key="term").set_value("zzz [x](y)").run()
    assert "No entry holds" in at.info[0].value


# --- claims -----------------------------------------------------------------------------------------------------------


def test_every_claim_is_there_with_a_verdict_in_words(app):
    at = app("claims")
    headings = [heading.value for heading in at.header]
    assert headings == [f"{name} · {claim.claim}" for name, claim in course.claims().items()]
    words = everything(at)
    assert sum(words.count(f"{word}]") for word in ("out", "depends", "yet")) == len(headings)
    assert "{{" not in words


def test_the_filter_and_the_search_narrow_them(app):
    at = app("claims")
    found = course.measured_claims()
    standing = found[next(iter(found))].standing
    at.button_group(key="standing").set_value([standing]).run()
    assert len(at.header) == sum(item.standing == standing for item in found.values())
    at.text_input(key="claim").set_value("no claim says this").run()
    assert len(at.header) == 0
    assert "No claim fits" in at.info[0].value


def test_a_measured_claim_shows_its_numbers_and_how_to_repeat_it(app, monkeypatch):
    monkeypatch.setattr(recorded, "RECORDS", RECORDS)  # those that ship
    at = app("claims")
    item = course.measured_claims()["C25"]
    words = everything(at)
    assert f"**{item.effects[0].words}** · {course.described(item.effects[0].number)}" in words
    assert item.finding in words
    links = [link.proto.query_string for link in at.get("page_link")]
    assert any("src=cifar10_cars" in link for link in links)


# --- certificate ------------------------------------------------------------------------------------------------------


def test_an_empty_certificate_says_how_it_fills(app):
    assert "Nothing is kept" in app("certificate").info[0].value


def test_it_lists_what_was_run_and_answered(app):
    lesson = next(lesson for lesson in lessons().values() if lesson.prediction.kind == "order")
    run = filling.run(lesson.experiment, ME)
    said = json.dumps({"order": list(lesson.prediction.arms), "accuracy": None, "strategy": ""})
    store = Store()
    store.note_progress(ME, lesson.name, prediction=said, run=run, why=lesson.why.answer, done=True)
    answer_all(True)
    words = everything(app("certificate"))
    assert f"has run and read **1 of {len(lessons())}** labs" in words
    assert "You said" in words
    assert f"[{run}](compare?run={run})" in words
    assert f"{text_of(lesson.name).heading.why.choices[lesson.why.answer].text}” (right)" in words
    assert f"**{len(QUESTIONS)} right** of {len(QUESTIONS)} answered" in words
    assert "Nobody has examined the learner" in words


def test_what_was_only_begun_or_is_gone_says_so(app):
    first, second, *_ = lessons()
    store = Store()
    store.note_progress(ME, first, run="gone")
    store.note_progress(ME, second, done=True)
    words = everything(app("certificate"))
    assert "gone (not on this machine)" in words
    assert "Read without a run" in words


def test_the_name_is_text_and_nothing_else(app):
    Store().note_progress(ME, next(iter(lessons())), done=True)
    at = app("certificate")
    at.text_input(key="certificate.name").set_value("<b>Ada</b>").run()
    assert any("&lt;b&gt;Ada" in str(element.proto.body) for element in at.get("html"))


def test_a_code_takes_progress_to_another_browser(app):
    other = "o" * 32
    Store().note_progress(other, next(iter(lessons())), done=True)
    at = app("certificate")
    at.text_input(key="code-entered").set_value("wrong")
    at.button(key="take-button").click().run()
    assert "make a new one" in at.error[0].value
    at.text_input(key="code-entered").set_value(Store().progress_code(other))
    at.button(key="take-button").click().run()
    assert "1 of its entries" in at.success[0].value
    assert Store().progress(ME).keys() == Store().progress(other).keys()


def test_showing_the_code(app):
    at = app("certificate")
    assert not at.code
    at.toggle(key="code-shown").set_value(True).run()
    assert at.code[0].value == Store().progress_code(ME)


@pytest.mark.parametrize("page", ["quiz", "glossary", "claims", "certificate"])
@pytest.mark.parametrize("language", ["de", "../../x"])
def test_another_language_is_shown_as_far_as_it_is_written(app, page, language):
    at = app(page, lang=language)
    assert len(at.title) == 1
    assert not at.error
    assert address(at)["lang"] == language
