"""The p-value's law: for random keys a score passes z at most as often as Chernoff's bound says,
whatever the picture is.
"""

from __future__ import annotations

import pytest
import torch

from openlumiere.provenance.noise import detect_noise, lowest, marked_noise, nonce_of, transform
from openlumiere.provenance.payload import Payload
from openlumiere.quality.marks import null_scores, synthetic, tail

PAYLOAD = Payload(model=0xBEEF, clip=0x12345678)


@pytest.mark.parametrize("name", ["plain", "noise", "stripes"])
def test_scores_of_random_keys_keep_the_bound(name):
    frames = next(frames for kind, frames in synthetic(5) if kind.startswith(name))
    scores = null_scores(frames[:2, :128, :128], 20_000, seed=1)
    for point in tail(scores):
        assert point["reached"] <= point["bound"] * len(scores)
    assert abs(scores.mean()) < 0.05


def test_marked_noise_is_gaussian_over_keys():
    """One fixed noise under many keys: each low coefficient keeps its size and takes either sign as
    often.
    """
    noise = torch.randn(2, 8, 8, 8, generator=torch.Generator().manual_seed(0))
    low = lowest(8, 8, 8)
    before = transform(noise.double())[:, low[0], low[1], low[2]]
    after = torch.stack(
        [
            transform(marked_noise(noise, PAYLOAD, b"key %d" % n).double())[
                :, low[0], low[1], low[2]
            ]
            for n in range(100)
        ]
    )
    assert torch.allclose(after.abs(), before.abs().expand_as(after), atol=1e-5)
    share = (after > 0).double().mean(0)
    assert (share - 0.5).abs().max() < 5 * 0.5 / 100**0.5


def test_the_transform_is_orthonormal():
    noise = torch.randn(2, 5, 6, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(transform(transform(noise), back=True), noise)
    assert torch.allclose(transform(noise).square().sum(), noise.square().sum())


def test_a_mark_in_noise_is_found_and_read_through_more_noise():
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(12, 16, 16, 16, generator=generator)
    sent = marked_noise(noise, PAYLOAD)
    assert (marked_noise(noise, PAYLOAD) == sent).all()
    found = detect_noise(sent + 0.7 * torch.randn(noise.shape, generator=generator))
    assert found.p_value < 1e-6 and found.payload == PAYLOAD and found.nonce == nonce_of(PAYLOAD)
    assert detect_noise(noise).p_value > 1e-4 and detect_noise(sent, b"another key").p_value > 1e-4
