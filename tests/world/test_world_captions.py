"""Captions say only what is drawn, in five languages."""

import re

import pytest

from openlumiere_world import captions
from openlumiere_world.backgrounds import COLOURS, SCENES
from openlumiere_world.captions import compose
from openlumiere_world.effects import KINDS
from openlumiere_world.grammar import GRAMMARS, NOUNS
from openlumiere_world.motions import CROSSINGS, IN_PLACE, MOTIONS, PAIRS
from openlumiere_world.scene import CAMERAS, PLACES, SPEEDS, plan

LANGUAGES = tuple(GRAMMARS)


@pytest.fixture(scope="module")
def clips(world):
    return [plan(world, seed) for seed in range(1500)]


def true_statements(facts):
    """Everything that may be said of a clip."""
    yield from (("subject", actor.subject) for actor in facts.actors)
    yield from (("own", actor.subject) for actor in facts.actors if actor.animated)
    yield from (("appearance", actor.subject) for actor in facts.actors)
    yield from (("style", actor.style) for actor in facts.actors)
    yield from (
        (name, getattr(facts, name))
        for name in (
            "motion",
            "speed",
            "turn",
            "place",
            "size",
            "count",
            "pair",
            "camera",
            "towards",
            "loop",
        )
    )
    yield "background", facts.background.name
    if facts.effect:
        yield "effect", facts.effect.name


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_caption_says_only_what_is_true(world, clips, language):
    for facts in clips:
        assert set(compose(world, facts, language).said) <= set(true_statements(facts))


def phrases(grammar):
    """Words of the grammar that stand for one fact each: phrase -> what it says."""
    table = {}
    for motion, verbs in grammar.motions.items():
        for verb in (*verbs.one, *verbs.many):
            table[verb.split("{b}")[0].strip() or verb.split("{b}")[1].strip()] = ("motion", motion)
    for name in ("cameras", "effects", "scenes"):
        what = {"cameras": "camera", "effects": "effect", "scenes": "background"}[name]
        for value, words in getattr(grammar, name).items():
            table |= {word: (what, value) for word in words}
    for template in grammar.plain:
        table |= {
            template.format(colour=word): ("background", colour)
            for colour, word in grammar.colours.items()
        }
    table |= {word: ("style", style) for style, word in grammar.styles.items()}
    return {re.sub(r"\s+", " ", phrase): said for phrase, said in table.items() if len(phrase) > 4}


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_words_of_other_facts_do_not_occur(world, clips, language):
    """Read from the text alone: no phrase of the grammar stands in a caption unless its fact, or a
    longer phrase, is there.
    """
    table = phrases(GRAMMARS[language])
    for facts in clips[:500]:
        true = set(true_statements(facts))
        text = compose(world, facts, language).text
        for actor in facts.actors:  # what a person wrote of the animation is true by itself
            for written in (
                world.by_id[actor.item].motion_en,
                world.by_id[actor.item].motion_it,
                world.by_id[actor.item].appearance_en,
            ):
                text = text.replace(written or "\n", "")
        for phrase in sorted(table, key=len, reverse=True):
            if table[phrase] in true:
                text = text.replace(phrase, "")
        wrong = [
            phrase
            for phrase, said in table.items()
            if said not in true and re.search(rf"(?<!\w){re.escape(phrase)}(?!\w)", text)
        ]
        assert not wrong, (wrong, compose(world, facts, language).text)


@pytest.mark.parametrize("language", LANGUAGES)
def test_captions_read_as_text(world, clips, language):
    for facts in clips:
        for variation in range(2):
            text = compose(world, facts, language, variation).text
            assert (
                text and text == text.strip() and not re.search(r"[{}]|  |,,| ,|\bNone\b", text)
            ), text


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_grammar_has_words_for_every_fact(language):
    grammar = GRAMMARS[language]
    assert (
        set(grammar.motions) == set(MOTIONS)
        and set(grammar.effects) == set(KINDS)
        and set(grammar.scenes) == set(SCENES)
    )
    assert set(grammar.cameras) == set(CAMERAS) - {"still"} and set(grammar.places) == set(PLACES)
    assert set(grammar.colours) == set(COLOURS) and set(grammar.speeds) <= set(SPEEDS)
    assert all(grammar.motions[motion].many for motion in CROSSINGS + IN_PLACE)
    assert all("{b}" in verb for motion in PAIRS for verb in grammar.motions[motion].one)
    assert all(set(nouns) == set(LANGUAGES) for nouns in NOUNS.values())


@pytest.mark.parametrize("language", LANGUAGES)
def test_wording_varies(world, clips, language):
    """Synonyms and orders: ten captions of one clip are not one caption."""
    facts = next(f for f in clips if f.motion == "left" and f.background.name in COLOURS)
    assert len({compose(world, facts, language, variation).text for variation in range(10)}) >= 5


def test_articles_and_counts_are_right(world, clips):
    def said(language, **wanted):
        for facts in clips:
            if all(getattr(facts, name) == value for name, value in wanted.items()):
                yield compose(world, facts, language).text

    two = dict(count=2)
    assert any("two cats" in text for text in said("en", **two)) and any(
        "due gatti" in text for text in said("it", **two)
    )
    assert any("dos gatos" in text for text in said("es", **two)) and any(
        "zwei Katzen" in text for text in said("de", **two)
    )
    assert any("deux chats" in text for text in said("fr", **two))
    chases = list(said("de", motion="chase"))
    assert any("einen Hund" in text or "einen Stern" in text for text in chases)
    assert any(text.startswith("un gatto") for text in said("it", count=1)) and any(
        "una estrella" in text for text in said("es", count=1)
    )


@pytest.mark.parametrize(
    ("label", "phrase"),
    [
        ("cat", "a cat"),
        ("elephant", "an elephant"),
        ("flag: Italy", "the flag of Italy"),
        ("keycap: 1", "a keycap with 1"),
        ("people hugging", "people hugging"),
        ("Japanese dolls", "Japanese dolls"),
        ("octopus", "an octopus"),
        ("unicorn", "a unicorn"),
        ("umbrella", "an umbrella"),
        ("woman with bunny ears", "a woman with bunny ears"),
        ("clapping hands: dark skin tone", "clapping hands with dark skin tone"),
        ("compass", "a compass"),
        ("glasses", "glasses"),
        ("woman farmer: medium skin tone", "a woman farmer with medium skin tone"),
    ],
)
def test_english_names_take_their_article(label, phrase):
    assert captions._english(label) == phrase


def test_an_unknown_language_is_refused(world, clips):
    with pytest.raises(ValueError, match="expected a language among en, it, es, fr, de, got 'xx'"):
        compose(world, clips[0], "xx")


def test_captions_of_the_built_world_read_as_text(built_world):
    for seed in range(500):
        facts = plan(built_world, seed)
        text = compose(built_world, facts).text
        assert text and not re.search(r"[{}]|  |,,| ,", text), text
        assert set(compose(built_world, facts).said) <= set(true_statements(facts))
