"""The autoencoder of RGBA frames: shapes, locality, what is refused, and its folder."""

import pytest
import torch

from openlumiere.models.autoencoder import FACTOR, StickerAutoencoder


def small(**options):
    torch.manual_seed(0)
    net = StickerAutoencoder(
        widths=(8, 16, 16), encoder_blocks=(1, 1, 1), decoder_blocks=(1, 1, 1), **options
    )
    for value in net.parameters():
        torch.nn.init.normal_(value, std=0.1)
    return net.eval()


@torch.no_grad()
def test_latents_are_an_eighth_of_the_side():
    net, frames = small(), torch.rand(2, 4, 64, 48) * 2 - 1
    latents = net.encode(frames)
    assert latents.shape == (2, 16, 8, 6)
    assert net.decode(latents).shape == frames.shape


@torch.no_grad()
def test_frames_are_coded_alone():
    net, frames = small(), torch.rand(3, 4, 32, 32) * 2 - 1
    together = net(frames)
    alone = torch.cat([net(frame[None]) for frame in frames])
    assert torch.allclose(together, alone, atol=1e-5)


@torch.no_grad()
def test_no_layer_looks_at_the_whole_frame():
    net, frame = small(), torch.zeros(1, 4, 256, 256)
    changed = frame.clone()
    changed[..., -8:, -8:] = 1
    assert torch.equal(net(frame)[..., :64, :64], net(changed)[..., :64, :64])


@torch.no_grad()
def test_measured_numbers_standardise_latents_and_change_no_picture():
    plain = small()
    frames = torch.rand(4, 4, 32, 32) * 2 - 1
    latents = plain.encode(frames)
    means, deviations = latents.mean((0, 2, 3)).tolist(), latents.std((0, 2, 3)).tolist()
    measured = small(means=means, deviations=deviations)
    measured.load_state_dict(plain.state_dict())
    standard = measured.encode(frames)
    assert standard.mean((0, 2, 3)).abs().max() < 1e-4
    assert (standard.std((0, 2, 3)) - 1).abs().max() < 1e-3
    assert torch.allclose(measured(frames), plain(frames), atol=1e-4)


@torch.no_grad()
def test_latents_stay_within_their_bound():
    net = small(bound=2.0)
    assert net.encode(torch.full((1, 4, 16, 16), 1e4)).abs().max() <= 2.0


def test_a_saved_folder_opens_again(tmp_path):
    net = small(means=[0.5] * 16)
    net.save_pretrained(tmp_path)
    again = StickerAutoencoder.from_pretrained(tmp_path)
    assert again.config.means == [0.5] * 16
    assert all(
        torch.equal(value, again.state_dict()[name]) for name, value in net.state_dict().items()
    )


@pytest.mark.parametrize(
    ("shape", "said"),
    [
        ((1, 3, 32, 32), "expected 4 channels, got 3"),
        ((1, 4, 30, 32), f"divide by {FACTOR}, got 32x30"),
    ],
)
def test_other_frames_are_refused(shape, said):
    with pytest.raises(ValueError, match=said):
        small().encode(torch.zeros(shape))


def test_levels_must_be_three():
    with pytest.raises(ValueError, match="expected 3 levels, got 2"):
        StickerAutoencoder(widths=(8, 16))
