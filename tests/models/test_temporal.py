import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from openlumiere.models.temporal import (
    AttentionInflation,
    ConvInflation,
    TemporalConv,
    TemporalDownsample,
    TemporalUpsample,
    fold_frames,
    time_positions,
    unfold_frames,
)


def clip(frames: int = 6, channels: int = 8, clips: int = 2) -> Tensor:
    return torch.randn(
        clips, channels, frames, 3, 4, generator=torch.Generator().manual_seed(frames)
    )


def randomised(module: nn.Module) -> nn.Module:
    torch.manual_seed(0)
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.3)
    return module


def conv1d_at_each_place(clips: Tensor, conv: TemporalConv) -> Tensor:
    """The definition: every place's line of frames through `conv1d`."""
    places = clips.permute(0, 3, 4, 1, 2).flatten(0, 2)
    out = F.conv1d(places, conv.weight, conv.bias, padding=1)
    return out.unflatten(0, (clips.shape[0], *clips.shape[3:])).permute(0, 3, 4, 1, 2)


def test_folding_frames_keeps_their_order():
    clips = clip()
    folded = fold_frames(clips)
    assert torch.equal(folded[6 + 2], clips[1, :, 2])
    assert torch.equal(unfold_frames(folded, 2), clips)


@pytest.mark.parametrize("frames", [1, 6, 7])
@pytest.mark.parametrize("factor", [2, 3])
def test_downsampling_starts_by_keeping_every_nth_frame(frames: int, factor: int):
    clips = clip(frames)
    assert torch.equal(TemporalDownsample(8, factor)(clips), clips[:, :, ::factor])


@pytest.mark.parametrize("frames", [6, 7])
@pytest.mark.parametrize("factor", [2, 3])
def test_downsampling_is_a_convolution_then_a_stride(frames: int, factor: int):
    clips, down = clip(frames), randomised(TemporalDownsample(8, factor))
    padded = torch.cat([clips] + [clips[:, :, -1:]] * (-frames % factor), dim=2)
    torch.testing.assert_close(down(clips), conv1d_at_each_place(padded, down.conv)[:, :, ::factor])


@pytest.mark.parametrize("frames", [6, 5])
@pytest.mark.parametrize("factor", [2, 3, 4])
def test_upsampling_starts_by_duplicating_frames(frames: int, factor: int):
    clips = clip(-(-frames // factor))
    expected = clips.repeat_interleave(factor, dim=2)[:, :, :frames]
    assert torch.equal(TemporalUpsample(8, factor)(clips, frames), expected)


@pytest.mark.parametrize("factor", [2, 3, 4])
def test_upsampling_is_duplication_then_a_convolution(factor: int):
    clips, up = clip(3), randomised(TemporalUpsample(8, factor))
    expected = conv1d_at_each_place(clips.repeat_interleave(factor, dim=2), up.conv)
    torch.testing.assert_close(up(clips, 3 * factor), expected)
    torch.testing.assert_close(up(clips, 3 * factor - 1), expected[:, :, :-1])


def test_resampling_keeps_a_constant_clip():
    """The gain is 1 at both ends too."""
    clips = clip(1).expand(-1, -1, 7, -1, -1)
    assert torch.equal(TemporalUpsample(8)(TemporalDownsample(8)(clips), 7), clips)


def test_he_initialisation_is_not_the_identity():
    torch.manual_seed(0)
    down = TemporalDownsample(8, init="he")
    assert down.conv.weight.std().item() == pytest.approx((2 / (8 * 3)) ** 0.5, rel=0.2)
    with pytest.raises(ValueError, match="expected init 'identity' or 'he', got 'xavier'"):
        TemporalDownsample(8, init="xavier")


def test_upsampling_by_one_is_refused():
    with pytest.raises(ValueError, match="expected a factor of at least 2, got 1"):
        TemporalUpsample(8, 1)


@pytest.mark.parametrize("clips", [1, 2])
def test_frames_stored_as_channels_last_stay_so(clips: int):
    frames = fold_frames(clip(clips=clips)).contiguous(memory_format=torch.channels_last)
    for module in (TemporalDownsample(8), ConvInflation(8, groups=4)):
        out = fold_frames(module(unfold_frames(frames, clips)))
        assert out.is_contiguous(memory_format=torch.channels_last)


def attention(**options) -> AttentionInflation:
    torch.manual_seed(0)
    return AttentionInflation(8, head_channels=4, text_channels=6, timestep_channels=5, **options)


def conditions(frames: int = 6) -> tuple[Tensor, Tensor, Tensor]:
    """Frame times, timestep embedding, text."""
    draw = torch.Generator().manual_seed(1)
    return (
        torch.arange(frames).float(),
        torch.randn(2, 5, generator=draw),
        torch.randn(2, 3, 6, generator=draw),
    )


def test_inflations_add_nothing_at_start():
    assert torch.equal(ConvInflation(8, groups=4)(clip()), clip())
    assert torch.equal(attention()(clip(), *conditions()), clip())


@pytest.mark.parametrize("inflation", ["conv", "attention"])
def test_inflations_get_gradients_at_start(inflation: str):
    module = ConvInflation(8, groups=4) if inflation == "conv" else attention()
    module(clip(), *([] if inflation == "conv" else conditions())).square().mean().backward()
    moved = {
        name.split(".")[0]
        for name, value in module.named_parameters()
        if value.grad.abs().sum() > 0
    }
    assert moved == (
        {"projection"} if inflation == "conv" else {"attention", "text_attention", "feed_forward"}
    )


def test_conv_inflation_sees_the_neighbouring_frames_and_no_others():
    module, other = randomised(ConvInflation(8, groups=4)), clip()
    other[:, :, 0] += 1
    changed = (module(other) - module(clip())).abs().amax((0, 1, 3, 4))
    assert (changed[:2] > 1e-4).all()
    assert (changed[2:] == 0).all()


def test_attention_inflation_sees_every_frame_of_its_own_place_only():
    module, other = randomised(attention()), clip()
    other[:, :, 0, 0, 0] += torch.arange(8.0)
    changed = (module(other, *conditions()) - module(clip(), *conditions())).abs().amax((0, 1))
    assert (changed[:, 0, 0] > 1e-4).all()
    changed[:, 0, 0] = 0
    assert changed.max() == 0


def test_attention_inflation_tells_the_order_of_frames_by_their_times():
    module = randomised(attention())
    _, timestep, text = conditions()
    order = torch.tensor([3, 1, 5, 0, 2, 4])
    times = order.float()
    torch.testing.assert_close(
        module(clip()[:, :, order], times, timestep, text),
        module(clip(), torch.arange(6.0), timestep, text)[:, :, order],
    )
    assert not torch.allclose(
        module(clip(), times, timestep, text), module(clip(), torch.arange(6.0), timestep, text)
    )
    assert not torch.allclose(
        time_positions(torch.tensor([0.5]), 8), time_positions(torch.tensor([0.0]), 8)
    )


def test_attention_inflation_reads_kept_text_tokens_only():
    module = randomised(attention())
    times, timestep, text = conditions()
    bias = torch.tensor([[0.0, 0.0, -10000.0]]).expand(2, 1, 3)
    other = text.clone()
    other[:, 2] += 1
    masked = module(clip(), times, timestep, text, bias)
    assert torch.equal(masked, module(clip(), times, timestep, other, bias))
    other[:, 1] += 1
    assert not torch.allclose(masked, module(clip(), times, timestep, other, bias))


def test_attention_inflation_knows_the_diffusion_timestep():
    module = randomised(attention())
    times, timestep, text = conditions()
    assert not torch.allclose(
        module(clip(), times, timestep, text), module(clip(), times, timestep + 1, text)
    )


def test_attention_alone_leaves_text_timestep_and_feed_forward_out():
    module = randomised(AttentionInflation(8, head_channels=4, feed_forward_mult=0))
    assert {name.split(".")[0] for name, _ in module.named_parameters()} == {"norm", "attention"}
    times, timestep, text = conditions()
    assert torch.equal(
        module(clip(), times, timestep, text), module(clip(), times, timestep + 1, text + 1)
    )


def test_left_and_right_are_told_apart_by_places_alone():
    """Attention along time treats a mirrored clip as the mirror image, unless places are known."""
    times, timestep, text = conditions()
    for known in (False, True):
        module = randomised(AttentionInflation(8, head_channels=4, place_positions=known))
        made = module(clip(), times, timestep, text)
        mirrored = module(clip().flip(-1), times, timestep, text).flip(-1)
        assert torch.allclose(made, mirrored, atol=1e-5) != known
    fresh = AttentionInflation(8, head_channels=4, place_positions=True)
    assert torch.equal(fresh(clip(), times, timestep, text), clip())
