import jaxtyping
import pytest
import torch
from diffusers import AutoencoderKL

from openlumiere.models.autoencoder import StickerAutoencoder
from openlumiere.models.codec import (
    AutoencoderCodec,
    UnshuffleCodec,
    VAECodec,
    pooled_mask,
    premultiplied,
    straight,
)


def pixels(*shape):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(0)) * 2 - 1


@pytest.mark.parametrize(
    "codec",
    [UnshuffleCodec(), UnshuffleCodec(2), UnshuffleCodec(4)],
    ids=["pixels", "by 2", "by 4"],
)
def test_unshuffled_pixels_come_back_to_the_bit(codec):
    clip = pixels(2, 3, 5, 8, 12)
    coded = codec.encode(clip)
    assert coded.shape == (2, codec.channels, 5, 8 // codec.factor, 12 // codec.factor)
    assert torch.equal(codec.decode(coded), clip)


def test_unshuffling_is_that_of_torch():
    clip = pixels(1, 3, 2, 8, 8)
    frame = torch.nn.functional.pixel_unshuffle(clip[:, :, 1], 4)
    assert torch.equal(UnshuffleCodec(4).encode(clip)[:, :, 1], frame)


def test_plain_pixels_are_left_alone():
    clip = pixels(1, 3, 2, 5, 7)
    assert torch.equal(UnshuffleCodec().encode(clip), clip)


@pytest.mark.parametrize("factor", [0, -1])
def test_a_factor_below_one_is_refused(factor):
    with pytest.raises(ValueError, match=f"expected a factor of at least 1, got {factor}, use 1"):
        UnshuffleCodec(factor)


def test_odd_sides_are_refused():
    with pytest.raises(ValueError, match="expected sides that divide by 4, got 10x8, choose"):
        UnshuffleCodec(4).encode(pixels(1, 3, 2, 8, 10))


@pytest.fixture(scope="module")
def vae():
    torch.manual_seed(0)
    return AutoencoderKL(
        block_out_channels=(8, 16),
        latent_channels=4,
        norm_num_groups=4,
        sample_size=16,
        scaling_factor=0.5,
        shift_factor=0.25,
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
    )


def test_vae_latents_are_scaled_means_frame_by_frame(vae):
    clip = pixels(2, 3, 3, 8, 12)
    latents = VAECodec(vae).encode(clip)
    assert latents.shape == (2, 4, 3, 4, 6)
    mean = vae.encode(clip[1:, :, 2]).latent_dist.mean
    torch.testing.assert_close(latents[1:, :, 2], (mean - 0.25) * 0.5)


def test_vae_decoding_undoes_the_scaling(vae):
    latents = pixels(2, 4, 3, 4, 6)
    clip = VAECodec(vae).decode(latents)
    assert clip.shape == (2, 3, 3, 8, 12)
    torch.testing.assert_close(clip[:1, :, 1], vae.decode(latents[:1, :, 1] / 0.5 + 0.25).sample)


def test_the_number_of_frames_at_once_changes_nothing(vae):
    clip = pixels(1, 3, 5, 8, 8)
    one, all_at_once = VAECodec(vae, batch=1), VAECodec(vae, batch=8)
    torch.testing.assert_close(one.encode(clip), all_at_once.encode(clip))
    torch.testing.assert_close(one.decode(one.encode(clip)), all_at_once.decode(one.encode(clip)))


def test_vae_codec_knows_its_factor_and_trains_nothing(vae):
    codec = VAECodec(vae)
    assert (codec.factor, codec.channels) == (2, 4)
    assert not any(parameter.requires_grad for parameter in vae.parameters())
    with pytest.raises(ValueError, match="divide by 2, got 8x9"):
        codec.encode(pixels(1, 3, 1, 9, 8))


def test_shapes_are_checked_in_tests():
    with pytest.raises(jaxtyping.TypeCheckError):
        UnshuffleCodec().encode(pixels(3, 8, 8))


def test_the_grid_of_a_codec(vae):
    assert UnshuffleCodec(4).grid(5, 8, 12) == (5, 2, 3)
    assert VAECodec(vae).grid(5, 8, 12) == (5, 4, 6) and VAECodec(vae).frames_for(7) == 7
    with pytest.raises(ValueError, match="size: expected sides that divide by 4, got 10x8"):
        UnshuffleCodec(4).grid(5, 8, 10)


def test_pixels_with_alpha_are_four_colours():
    codec = UnshuffleCodec(2, colours=4)
    clip = pixels(1, 4, 3, 8, 8)
    assert codec.channels == 16 and torch.equal(codec.decode(codec.encode(clip)), clip)


def test_a_place_is_known_only_if_every_pixel_under_it_is():
    known = torch.ones(1, 1, 2, 8, 8)
    known[:, :, 0, 3, 5] = 0
    mask = UnshuffleCodec(4).mask(known, (2, 2, 2))
    assert mask[0, 0, 0].tolist() == [[1, 0], [1, 1]] and mask[0, 0, 1].all()


def test_a_place_of_several_frames_is_known_only_if_every_frame_is():
    """The first frame has a place of its own, as in video autoencoders."""
    known = torch.ones(1, 1, 9, 4, 4)
    known[:, :, 6] = 0
    assert pooled_mask(known, (3, 2, 2), 4)[0, 0, :, 0, 0].tolist() == [1, 1, 0]
    known[:, :, 0] = 0
    assert pooled_mask(known, (3, 2, 2), 4)[0, 0, :, 0, 0].tolist() == [0, 1, 0]
    with pytest.raises(ValueError, match="expected 1 frame and a multiple of 4, got 8"):
        pooled_mask(known[:, :, :8], (3, 2, 2), 4)


def test_straight_alpha_goes_in_and_comes_out():
    clip = pixels(2, 4, 3, 8, 16)
    clip[:, 3, :, :4] = -1
    back = straight(premultiplied(clip))
    torch.testing.assert_close(back[:, :, :, 4:], clip[:, :, :, 4:], atol=1e-3, rtol=0)
    assert (back[:, :, :, :4] == -1).all()  # what is transparent has no colour


def test_frames_with_alpha_are_coded_one_by_one():
    torch.manual_seed(0)
    net = StickerAutoencoder(latent_channels=6, widths=(8, 8, 8), encoder_blocks=(1, 1, 1))
    codec = AutoencoderCodec(net, batch=2)
    clip = pixels(2, 4, 3, 16, 24)
    coded = codec.encode(clip)
    assert tuple(coded.shape) == (2, 6, *codec.grid(3, 16, 24)) == (2, 6, 3, 2, 3)
    torch.testing.assert_close(coded[:, :, 1], net.encode(premultiplied(clip[:, :, 1])))
    made = codec.decode(coded)
    assert made.shape == clip.shape and made.abs().max() <= 1
    torch.testing.assert_close(made[:, :, 2], straight(net.decode(coded[:, :, 2])))
