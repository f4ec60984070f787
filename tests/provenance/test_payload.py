"""The payload, its check and its code."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openlumiere.provenance.payload import CODED_BITS, GENERATORS, MEMORY, Payload, decode, encode

payloads = st.builds(Payload, model=st.integers(0, 2**16 - 1), clip=st.integers(0, 2**32 - 1))


@given(payloads)
@settings(max_examples=25, deadline=None)
def test_what_is_coded_is_read(payload):
    assert Payload.read(decode(encode(payload.bits()).astype(float))) == payload


def test_the_code_corrects_a_noisy_reading():
    payload = Payload.of("ab12" * 16, "a record")
    draw = np.random.default_rng(0)
    read = [
        Payload.read(decode(encode(payload.bits()) + draw.standard_normal(CODED_BITS)))
        for _ in range(20)
    ]
    assert read == [payload] * 20


def test_noise_is_not_read():
    draw = np.random.default_rng(0)
    assert not any(Payload.read(decode(draw.standard_normal(CODED_BITS))) for _ in range(50))


def test_one_bit_changes_at_least_24_signs():
    """The free distance of the code: a lone 1 sends every bit of every generator."""
    zero, one = np.zeros(64, np.uint8), np.eye(64, dtype=np.uint8)[10]
    assert (
        (encode(zero) != encode(one)).sum()
        == sum(generator.bit_count() for generator in GENERATORS)
        >= 24
    )
    assert max(GENERATORS).bit_length() == MEMORY + 1


def test_a_payload_names_model_and_record():
    one = Payload.of("ab12" * 16, "a record")
    assert one == Payload.of("ab12" * 16, "a record") != Payload.of("ab12" * 16, "another record")
    assert str(one).startswith("ab12-")


def test_more_bits_are_refused():
    with pytest.raises(ValueError, match=r"expected a model id from 0 to 2\*\*16 - 1, got 65536"):
        Payload(model=65536, clip=0)
