"""Styles: a copy of the net with blended weights, and the net that it came from left alone."""

import threading

import pytest
import torch
from safetensors.torch import load_file

from openlumiere.models.lora import LowRank
from openlumiere.models.style import Style, styled

QUERY = "down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q"
CONV = "down_blocks.0.resnets.0.conv1"


@pytest.fixture(scope="module")
def net(build_tiny):
    return build_tiny().stunet


def factors(net, rank=2, scale=0.5, seed=1):
    """Random factors for an attention and a convolution layer."""
    generator = torch.Generator().manual_seed(seed)
    low = {}
    for layer in (QUERY, CONV):
        out, inside, *kernel = net.unet2d.get_submodule(layer).weight.shape
        down = torch.randn(rank, inside, *kernel, generator=generator)
        up = torch.randn(out, rank, *(1 for _ in kernel), generator=generator)
        low[layer] = LowRank(down, up, scale)
    return low


def weight(net, layer):
    return net.unet2d.get_submodule(layer).weight.detach()


def blend(net, *styles):
    return styled(net, styles, net.fingerprint())


@pytest.mark.parametrize("a", [0.0, 0.3, 1.0, -0.5])
def test_the_blend_is_the_papers(net, a):
    """W = a W_style + (1 - a) W_orig, for a low-rank style and for the whole weights it makes."""
    low = factors(net)
    whole = {f"{layer}.weight": weight(net, layer) + low[layer].change for layer in low}
    for style in (Style("drawn", low, {}), Style("drawn", {}, whole)):
        copy = blend(net, (style, a))
        for layer in low:
            expected = a * whole[f"{layer}.weight"] + (1 - a) * weight(net, layer)
            assert torch.allclose(weight(copy, layer), expected, atol=1e-5)


def test_weights_are_bit_for_bit_what_adding_in_place_gives(net):
    """Replays of clips that were made when styles were added to the live net stay equal."""
    one, two = Style("a", factors(net), {}), Style("b", factors(net, 3, seed=2), {})
    expected = weight(net, QUERY).clone()
    for style, a in ((one, 0.7), (two, 0.9)):
        low = style.low_rank[QUERY]
        expected += a * (low.scale * (low.up.flatten(1) @ low.down.flatten(1)))
    assert torch.equal(weight(blend(net, (one, 0.7), (two, 0.9)), QUERY), expected)


def test_the_net_is_left_alone_and_shares_what_no_style_changes(net):
    before = {name: value.clone() for name, value in net.state_dict().items()}
    copy = blend(net, (Style("drawn", factors(net), {}), 0.7))
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    own = dict(net.named_parameters())
    apart = {
        name for name, value in copy.named_parameters() if value.data_ptr() != own[name].data_ptr()
    }
    assert apart == {f"unet2d.{QUERY}.weight", f"unet2d.{CONV}.weight"}
    assert not any(value.requires_grad for value in copy.unet2d.parameters())
    assert copy.config == net.config
    assert not copy.training


def test_without_styles_there_is_no_copy(net):
    assert styled(net, [], net.fingerprint()) is net


def test_threads_with_styles_each_get_their_own(net):
    """Twelve threads blend at once; each net is what the same blend gives alone."""
    styles = [Style(str(seed), factors(net, seed=seed), {}) for seed in range(12)]
    alone = [weight(blend(net, (style, 1.0)), QUERY) for style in styles]
    found = {}

    def work(index):
        found[index] = weight(blend(net, (styles[index], 1.0)), QUERY)

    threads = [threading.Thread(target=work, args=(index,)) for index in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(torch.equal(found[index], alone[index]) for index in range(12))


def test_several_styles_add_up(net):
    one, two = Style("a", factors(net), {}), Style("b", factors(net, 3, seed=2), {})
    changes = [
        weight(blend(net, *styles), QUERY) - weight(net, QUERY)
        for styles in ([(one, 0.4)], [(two, 0.6)], [(one, 0.4), (two, 0.6)])
    ]
    assert torch.allclose(changes[0] + changes[1], changes[2], atol=1e-5)


def test_a_half_precision_net_stays_one(build_tiny):
    net = build_tiny().stunet.to(torch.bfloat16)
    assert weight(blend(net, (Style("drawn", factors(net), {}), 1.0)), CONV).dtype == torch.bfloat16


def test_a_linear_layers_factors_fit_a_convolution_of_one_place(net):
    """Older files keep `proj_in` of Stable Diffusion 1 as a matrix."""
    shortcut = "up_blocks.0.resnets.0.conv_shortcut"
    out, inside, _, _ = net.unet2d.get_submodule(shortcut).weight.shape
    low = LowRank(torch.ones(1, inside), torch.ones(out, 1), 1.0)
    copy = blend(net, (Style("drawn", {shortcut: low}, {}), 1.0))
    assert torch.equal(weight(copy, shortcut), weight(net, shortcut) + 1)


def test_files_come_back(net, tmp_path):
    style = Style("line drawing", factors(net), {}, net.fingerprint())
    style.save(tmp_path / "style.safetensors")
    again = Style.load(tmp_path / "style.safetensors")
    assert (again.name, again.fingerprint) == ("line drawing", net.fingerprint())
    assert again.low_rank.keys() == style.low_rank.keys()
    copies = [blend(net, (each, 1.0)) for each in (style, again)]
    assert torch.allclose(*(weight(copy, CONV) for copy in copies), atol=5e-3)
    assert again.sha256 == Style.load(tmp_path / "style.safetensors").sha256
    assert again.sha256 != style.sha256, "a file holds float16"


def test_whole_weights_come_back(net, tmp_path):
    style = Style("drawn", {}, {f"{QUERY}.weight": torch.full((32, 32), 0.25)})
    style.save(tmp_path / "style.safetensors")
    again = Style.load(tmp_path / "style.safetensors")
    assert torch.equal(again.full[f"{QUERY}.weight"], style.full[f"{QUERY}.weight"])


TOO_LARGE = {
    "NaN": LowRank(torch.full((2, 32), torch.nan), torch.ones(32, 2), 1.0),
    "infinity": LowRank(torch.ones(2, 32), torch.full((32, 2), torch.inf), 1.0),
    "over float16": LowRank(torch.full((2, 32), 7e4), torch.ones(32, 2), 1.0),
    "a scale over float16": LowRank(torch.ones(2, 32), torch.ones(32, 2), 1e6),
}


@pytest.mark.parametrize("what", TOO_LARGE)
def test_what_is_not_finite_is_not_saved(tmp_path, what):
    path = tmp_path / "style.safetensors"
    with pytest.raises(
        ValueError, match="^style: expected finite weights in .*to_q.*, got NaN or infinity, learn"
    ):
        Style("drawn", {QUERY: TOO_LARGE[what]}, {}).save(path)
    assert not path.exists()


def test_whole_weights_that_are_not_finite_are_not_saved(tmp_path):
    full = {f"{QUERY}.bias": torch.tensor([1.0, torch.nan])}
    with pytest.raises(ValueError, match="^style: expected finite weights in .*bias of drawn"):
        Style("drawn", {}, full).save(tmp_path / "style.safetensors")
    assert not any(tmp_path.iterdir())


def test_what_stands_in_a_file_is_finite(net, tmp_path):
    """The largest numbers that float16 holds are kept, not refused."""
    low = LowRank(torch.full((2, 32), 65504.0), torch.ones(32, 2), 1.0)
    Style("drawn", {QUERY: low}, {}).save(tmp_path / "style.safetensors")
    assert all(
        value.isfinite().all() for value in load_file(tmp_path / "style.safetensors").values()
    )


@pytest.mark.parametrize(("size", "a"), [(1e20, 1.0), (1e18, 1e30)])
def test_a_blend_that_overflows_is_refused(net, size, a):
    low = LowRank(torch.full((2, 32), size), torch.full((32, 2), size), 1.0)
    with pytest.raises(ValueError, match=f"^style: expected finite weights in {QUERY}.* drawn at"):
        blend(net, (Style("drawn", {QUERY: low}, {}), a))


def test_a_blend_that_overflows_half_precision_is_refused(build_tiny):
    net = build_tiny().stunet.half()
    low = LowRank(torch.full((2, 32), 300.0), torch.full((32, 2), 300.0), 1.0)
    with pytest.raises(ValueError, match="^style: expected finite weights in .*, got NaN or inf"):
        blend(net, (Style("drawn", {QUERY: low}, {}), 1.0))


def test_a_style_for_another_net_is_refused(net):
    own = net.fingerprint()[:12]
    with pytest.raises(
        ValueError,
        match=f"style: expected drawn for the picture net {own}, got one for aaaaaaaaaaaa, load",
    ):
        blend(net, (Style("drawn", factors(net), {}, "a" * 64), 1.0))


MISFITS = {
    "no such layer": {"mid_block.to_q": LowRank(torch.ones(2, 32), torch.ones(32, 2), 1.0)},
    "too wide": {QUERY: LowRank(torch.ones(2, 33), torch.ones(32, 2), 1.0)},
    "as many numbers, another shape": {QUERY: LowRank(torch.ones(2, 16), torch.ones(64, 2), 1.0)},
    "a kernel that lies otherwise": {
        CONV: LowRank(torch.ones(2, 16, 9, 1), torch.ones(16, 2, 1, 1), 1.0)
    },
}


@pytest.mark.parametrize("what", MISFITS)
def test_factors_that_do_not_fit_are_refused(net, what):
    with pytest.raises(
        ValueError, match=r"style: expected layers of this model's picture net.*, got .*, load the"
    ):
        blend(net, (Style("drawn", MISFITS[what], {}), 1.0))


@pytest.mark.parametrize("value", [torch.tensor(1.0), torch.ones(32), torch.ones(31, 32)])
def test_whole_weights_that_do_not_fit_are_refused(net, value):
    with pytest.raises(ValueError, match="style: expected layers of this model's picture net"):
        blend(net, (Style("drawn", {}, {f"{QUERY}.weight": value}), 1.0))


def test_two_changes_of_one_layer_are_refused(net):
    """One spelled with dots and one with underscores, or factors and a whole weight."""
    low = LowRank(torch.ones(2, 32), torch.ones(32, 2), 1.0)
    twice = Style("drawn", {QUERY: low, QUERY.replace(".", "_"): low}, {})
    both = Style("drawn", {QUERY: low}, {f"{QUERY}.weight": torch.ones(32, 32)})
    for style in (twice, both):
        with pytest.raises(ValueError, match="style: expected one change of each layer in drawn"):
            blend(net, (style, 1.0))
