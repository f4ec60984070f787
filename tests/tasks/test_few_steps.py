"""`fast` stands for other defaults of steps and guidance."""

import pytest

from openlumiere.tasks import Generate
from openlumiere.tasks.values import Sampling


@pytest.mark.parametrize("fast", [True, "true"])
def test_the_defaults_are_those_of_distilled_weights(fast):
    sampling = Generate(prompt="a fox", fast=fast).sampling
    assert (sampling.steps, sampling.guidance) == (4, 1.0)


def test_what_is_given_stays():
    sampling = Generate(prompt="a fox", fast=True, steps=2, guidance=1.5).sampling
    assert (sampling.steps, sampling.guidance) == (2, 1.5)


def test_a_form_with_the_usual_defaults_filled_in_is_the_same():
    form = {**Sampling().model_dump(), "fast": True}
    assert Sampling(**form) == Sampling(fast=True)


def test_a_record_is_read_as_it_was_written():
    sampling = Sampling(fast=True, seed=4)
    assert Sampling.model_validate_json(sampling.model_dump_json()) == sampling


def test_without_it_nothing_changes():
    assert (Sampling(fast=False).steps, Sampling(fast=False).guidance) == (20, 3.0)
