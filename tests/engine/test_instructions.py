"""Prompts that say what to do: something is to go, or to be exchanged."""

from fractions import Fraction

import numpy as np
import pytest

from openlumiere import Clip, Lumiere
from openlumiere.engine.instructions import removes, wanted
from openlumiere.tasks import Region


@pytest.mark.parametrize(
    "prompt",
    [
        "remove the cat",
        "Please remove the two people on the left.",
        "get rid of the cat",
        "without the cat",
        "rimuovi il gatto",
        "per favore, togli la macchina",
        "quita el gato",
        "elimina el perro y el gato",
        "enlève le chat",
        "S’il vous plaît, supprimez le chat",
        "entferne die Katze",
        "lösche das Auto",
        "die Katze entfernen",
        "bitte die Katze weg",
    ],
)
def test_sentences_that_remove(prompt):
    assert removes(prompt)


@pytest.mark.parametrize(
    "prompt",
    [
        "",
        "a cat",
        "remove the cat and put a dog there",
        "a removed cat",
        "rimuovi il gatto e aggiungi un cane",
        "entferne die Katze und ersetze sie durch einen Hund",
        "a robot without a head",
        "a single flower",
        "ein Weg im Wald",
        "sincere smiles",
    ],
)
def test_sentences_that_show_something(prompt):
    assert not removes(prompt)


@pytest.mark.parametrize(
    ("prompt", "shown"),
    [
        ("remove the cat", ""),
        ("remove the cat and put a dog there", "a dog"),
        ("Please replace the cat with a dog.", "a dog"),
        ("turn the cat into a dog in the snow", "a dog in the snow"),
        ("add a red balloon", "a red balloon"),
        ("rimuovi il gatto e metti un cane al suo posto", "un cane"),
        ("sostituisci il gatto con un cane", "un cane"),
        ("quita el gato y pon un perro en su lugar", "un perro"),
        ("reemplaza el gato por un perro", "un perro"),
        ("enlève le chat et mets un chien à sa place", "un chien"),
        ("remplace le chat par un chien", "un chien"),
        ("entferne die Katze und ersetze sie durch einen Hund", "einen Hund"),
        ("bitte die Katze durch einen Hund ersetzen", "einen Hund"),
        ("verwandle die Katze in einen Hund", "einen Hund"),
        ("füge einen Hund hinzu", "einen Hund"),
    ],
)
def test_what_takes_a_place_is_what_is_shown(prompt, shown):
    assert wanted(prompt) == shown


@pytest.mark.parametrize(
    "prompt",
    [
        "a cat",
        "paint splashes on a wall",
        "a wizard turns a frog into a prince",
        "place de la Concorde",
        "a robot without a head",
        "make it rain",
        "ein Mann mit einem Hund und einer Katze",
    ],
)
def test_what_describes_a_clip_stays(prompt):
    assert wanted(prompt) == prompt


def test_a_hole_is_filled_as_without_a_prompt(build_tiny):
    wide = np.random.default_rng(0).integers(0, 256, (16, 40, 3), np.uint8).repeat(5, 0)
    wide = wide.repeat(5, 1)
    frames = np.stack([wide[:, 2 * index : 2 * index + 80] for index in range(24)])
    clip, hole = Clip(frames, Fraction(16)), Region.box(0.4, 0.4, 0.6, 0.6)
    lumiere = Lumiere(build_tiny())
    removed = lumiere.inpaint(clip, hole, "remove the cat", steps=1)
    unsaid = lumiere.inpaint(clip, hole, steps=1)
    assert np.array_equal(removed.frames, unsaid.frames)
    replaced = lumiere.inpaint(clip, hole, "replace the cat with a dog", steps=1)
    assert np.array_equal(
        replaced.frames, lumiere.inpaint(clip, hole, "a dog", steps=1).frames
    ) and not np.array_equal(replaced.frames, removed.frames)
