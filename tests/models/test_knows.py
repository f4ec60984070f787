"""What a model was trained to draw, in words, and what of a prompt lies beyond it."""

import json

import pytest

from openlumiere.models.hub import BUNDLED
from openlumiere.models.knows import KNOWS, read_knows
from openlumiere_world.grammar import GRAMMARS, NOUNS
from openlumiere_world.scope import WORLD_32
from openlumiere_world.vocabulary import known_words


@pytest.fixture(scope="module")
def knows():
    return read_knows(BUNDLED["world-32"])


def test_the_bundled_weights_know_the_words_of_the_world_they_were_trained_on(knows):
    assert knows == known_words(WORLD_32)
    assert set(knows.actions) == {"stay", "left", "right", "up", "down"}
    assert len(knows.subjects) == 8 and len(knows.colours) == 6 and len(knows.styles) == 3


@pytest.mark.parametrize("language", GRAMMARS)
def test_what_captions_say_is_known(knows, language):
    grammar = GRAMMARS[language]
    for subject in WORLD_32.subjects:
        for motion in WORLD_32.motions:
            for verb in grammar.motions[motion].one:
                for plain in grammar.plain:
                    noun = NOUNS[subject][language].one
                    behind = plain.format(colour=grammar.colours["blue"])
                    beyond = knows.beyond([f"{noun} {grammar.styles['noto']} {verb} {behind}"])
                    assert beyond.words == () and beyond.names_subject, (noun, verb, plain)


@pytest.mark.parametrize(
    "prompt",
    [
        "una macchina",
        "puppy",
        "Wagen",
        "toads",
        "ein schwarzer Kater steht still vor weißem Hintergrund",
        "UNE ÉTOILE monte sur un fond rouge",
        "el coche sube",
        "l'auto va a sinistra su sfondo giallo",
        "a kitten is moving up",
    ],
)
def test_other_words_for_what_is_known_are_no_warning(knows, prompt):
    beyond = knows.beyond([prompt])
    assert beyond.words == () and beyond.names_subject


@pytest.mark.parametrize(
    ("prompt", "words"),
    [
        ("a dog swims in the sea", ("swims", "sea")),
        ("un gatto nuota nel mare", ("nuota", "mare")),
        ("ein Hund bellt im Wald", ("bellt", "Wald")),
        ("un chien court sur la plage", ("court", "plage")),
        ("la rana canta en la playa", ("canta", "playa")),
        ("a red hat", ("hat",)),
        ("a cardboard box", ("cardboard", "box")),
        ("a star in watercolour style", ("watercolour",)),
        ("a green cat on a blue background", ("green cat",)),
        ("una macchina rossa su sfondo blu", ("macchina rossa",)),
        ("a car quickly moves left", ("quickly",)),
    ],
)
def test_subject_ground_action_and_style_beyond_the_weights_are_named(knows, prompt, words):
    assert knows.beyond([prompt]).words == words


@pytest.mark.parametrize(
    ("prompt", "word", "near"),
    [
        ("a froog moves up", "froog", "frog"),
        ("a truck moves up", "truck", "car"),
        ("a wolf on a blue background", "wolf", "dog"),
        ("ein Hunt auf blauem Grund", "Hunt", "Hund"),
    ],
)
def test_the_nearest_known_word_is_named_in_the_language_of_the_prompt(knows, prompt, word, near):
    assert knows.beyond([prompt]).nearest[word] == near


def test_a_folder_that_lists_subjects_alone_is_asked_about_subjects_alone(tmp_path):
    (tmp_path / "subjects.json").write_text('{"fox": ["fox", "volpe"]}')
    toys = read_knows(tmp_path)
    for prompt, named in (("eine volpe oder volpe", True), ("a unicycle sings", False)):
        beyond = toys.beyond([prompt])
        assert beyond.words == () and beyond.names_subject == named


@pytest.mark.parametrize(
    "written",
    [{}, {"subjects": ["cat"]}, {"subjects": {"cat": {"en": "cat"}}}, {"subjects": {}, "other": 1}],
)
def test_a_folder_says_what_is_known_or_nothing(tmp_path, written):
    assert read_knows(tmp_path) is None
    (tmp_path / KNOWS).write_text(json.dumps(written))
    with pytest.raises(ValueError, match=r"model: expected words by language in knows\.json, got"):
        read_knows(tmp_path)
