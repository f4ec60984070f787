"""Tiny random models of published families, saved in the layout that diffusers writes: a function a
family, and one table of them.
"""

from dataclasses import replace

import diffusers
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    CLIPImageProcessorPil,
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTokenizer,
    CLIPVisionConfig,
    CLIPVisionModel,
    LlamaConfig,
    LlamaModel,
    PreTrainedTokenizerFast,
    T5Config,
    T5EncoderModel,
    T5Tokenizer,
    UMT5Config,
    UMT5EncoderModel,
)

WORDS = ["a", "red", "cat", "dog", "blurry", "the", "jumps"]


def t5_tokenizer(length):
    """A tokenizer of whole words, as T5's are; others are spelled as unknown."""
    words = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), *((f"▁{word}", -1.0) for word in WORDS)]
    return T5Tokenizer(vocab=words, extra_ids=0, model_max_length=length)


def umt5(width=32):
    """The text encoder of Wan."""
    config = UMT5Config(
        vocab_size=len(WORDS) + 3, d_model=width, d_kv=8, d_ff=32, num_layers=1, num_heads=2
    )
    return UMT5EncoderModel(config).eval()


def t5(width=32):
    """The text encoder of LTX, CogVideoX and Mochi."""
    config = T5Config(
        vocab_size=len(WORDS) + 3, d_model=width, d_kv=8, d_ff=16, num_layers=1, num_heads=2
    )
    return T5EncoderModel(config).eval()


def clip_tokenizer(length):
    """A tokenizer of whole words, as CLIP's are; others are spelled as unknown."""
    letters = sorted({letter for word in WORDS for letter in word})
    spelled = [*letters, *(f"{letter}</w>" for letter in letters)]
    merges = []
    for word in WORDS:
        parts = [*word[:-1], f"{word[-1]}</w>"]
        while len(parts) > 1:
            pair = (parts[0], parts[1])
            parts = ["".join(pair), *parts[2:]]
            if pair not in merges:
                merges.append(pair)
                spelled.append(parts[0])
    names = [*spelled, "<|startoftext|>", "<|endoftext|>"]
    vocab = {name: row for row, name in enumerate(dict.fromkeys(names))}
    return CLIPTokenizer(vocab=vocab, merges=merges, model_max_length=length)


def clip_text(tokenizer, width=32):
    """The text encoder of Stable Diffusion."""
    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=tokenizer.model_max_length,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return CLIPTextModel(config).eval()


WAN_NET = {
    "patch_size": (1, 2, 2),
    "num_attention_heads": 2,
    "attention_head_dim": 12,
    "in_channels": 16,
    "out_channels": 16,
    "text_dim": 32,
    "freq_dim": 256,
    "ffn_dim": 32,
    "num_layers": 2,
    "cross_attn_norm": True,
    "qk_norm": "rms_norm_across_heads",
    "rope_max_seq_len": 32,
}
WAN_VAE = {
    "base_dim": 3,
    "z_dim": 16,
    "dim_mult": [1, 1, 1, 1],
    "num_res_blocks": 1,
    "temperal_downsample": [False, True, True],
}


def wan():
    """Wan 2.1 text to video."""
    return diffusers.WanPipeline(
        transformer=diffusers.WanTransformer3DModel(**WAN_NET).eval(),
        vae=diffusers.AutoencoderKLWan(**WAN_VAE).eval(),
        tokenizer=t5_tokenizer(512),
        text_encoder=umt5(),
        scheduler=diffusers.UniPCMultistepScheduler(
            prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0
        ),
    )


def wan_large():
    """The large Wan 2.2: a second net below nine tenths of the diffusion times."""
    parts = wan().components
    parts["transformer_2"] = diffusers.WanTransformer3DModel(**WAN_NET).eval()
    return diffusers.WanPipeline(**parts, boundary_ratio=0.9)


def wan_small():
    """The small Wan 2.2: a time for each token."""
    return diffusers.WanPipeline(**wan().components, expand_timesteps=True)


def wan_image():
    """Wan 2.1 image to video, with what CLIP sees."""
    vision = CLIPVisionConfig(
        hidden_size=8,
        intermediate_size=8,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=32,
        patch_size=16,
    )
    net = {**WAN_NET, "in_channels": 36, "image_dim": 8}
    return diffusers.WanImageToVideoPipeline(
        **{
            **without_none(wan().components),
            "transformer": diffusers.WanTransformer3DModel(**net).eval(),
            "image_encoder": CLIPVisionModel(vision).eval(),
            "image_processor": CLIPImageProcessorPil(
                size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}
            ),
        }
    )


def wan_vace():
    """Wan VACE."""
    net = {**WAN_NET, "num_layers": 3, "vace_layers": [0, 2], "vace_in_channels": 96}
    parts = without_none(wan().components)
    parts["transformer"] = diffusers.WanVACETransformer3DModel(**net).eval()
    return diffusers.WanVACEPipeline(**parts)


def without_none(parts):
    return {name: part for name, part in parts.items() if part is not None}


def ltx():
    """LTX-Video."""
    return diffusers.LTXPipeline(
        transformer=diffusers.LTXVideoTransformer3DModel(
            in_channels=8,
            out_channels=8,
            patch_size=1,
            patch_size_t=1,
            num_attention_heads=2,
            attention_head_dim=8,
            cross_attention_dim=16,
            num_layers=1,
            caption_channels=16,
        ).eval(),
        vae=diffusers.AutoencoderKLLTXVideo(
            latent_channels=8,
            block_out_channels=(8, 8, 8, 8),
            decoder_block_out_channels=(8, 8, 8, 8),
            layers_per_block=(1, 1, 1, 1, 1),
            decoder_layers_per_block=(1, 1, 1, 1, 1),
            spatio_temporal_scaling=(True, True, False, False),
            decoder_spatio_temporal_scaling=(True, True, False, False),
        ).eval(),
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(
            use_dynamic_shifting=True, base_shift=0.95, max_shift=2.05, shift_terminal=0.1
        ),
        text_encoder=t5(16),
        tokenizer=t5_tokenizer(128),
    )


def cogvideox(**changes):
    """CogVideoX text to video."""
    net = {
        "num_attention_heads": 2,
        "attention_head_dim": 16,
        "in_channels": 4,
        "out_channels": 4,
        "time_embed_dim": 2,
        "text_embed_dim": 32,
        "num_layers": 2,
        "sample_width": 6,
        "sample_height": 4,
        "sample_frames": 9,
        "max_text_seq_length": 16,
        "use_rotary_positional_embeddings": True,
        **changes,
    }
    return diffusers.CogVideoXPipeline(
        transformer=diffusers.CogVideoXTransformer3DModel(**net).eval(),
        vae=diffusers.AutoencoderKLCogVideoX(
            block_out_channels=(8, 8, 8, 8),
            latent_channels=4,
            layers_per_block=1,
            norm_num_groups=2,
        ).eval(),
        scheduler=diffusers.CogVideoXDDIMScheduler(
            prediction_type="v_prediction",
            rescale_betas_zero_snr=True,
            clip_sample=False,
            timestep_spacing="trailing",
        ),
        text_encoder=t5(),
        tokenizer=t5_tokenizer(16),
    )


def cogvideox_later():
    """CogVideoX 1.5: two coded places are joined in time."""
    return cogvideox(patch_size_t=2, patch_bias=False)


def cogvideox_image(scaled_back=True, **changes):
    """CogVideoX image to video, its autoencoder's posterior without spread: diffusers' pipeline
    draws from it.
    """
    parts = cogvideox(in_channels=8, out_channels=4, **changes).components
    last = parts["vae"].encoder.conv_out.conv
    torch.nn.init.zeros_(last.weight[4:])
    torch.nn.init.constant_(last.bias[4:], -60)
    parts["vae"].register_to_config(invert_scale_latents=scaled_back)
    return diffusers.CogVideoXImageToVideoPipeline(**parts)


def cogvideox_image_later():
    """CogVideoX 1.5 image to video."""
    later = {"patch_size_t": 2, "patch_bias": False, "ofs_embed_dim": 2, "sample_width": 8}
    return cogvideox_image(scaled_back=False, **later)


def animatediff():
    """Stable Diffusion's U-Net with a motion adapter."""
    unet = diffusers.UNet2DConditionModel(
        sample_size=4,
        block_out_channels=(8, 16),
        layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=32,
        norm_num_groups=2,
        attention_head_dim=4,
    )
    adapter = diffusers.MotionAdapter(
        block_out_channels=(8, 16),
        motion_layers_per_block=1,
        motion_norm_num_groups=2,
        motion_num_attention_heads=2,
    )
    for value in adapter.parameters():  # published adapters move; an untrained one begins at zero
        torch.nn.init.normal_(value, std=0.1)
    tokenizer = clip_tokenizer(16)
    return diffusers.AnimateDiffPipeline(
        unet=unet.eval(),
        motion_adapter=adapter.eval(),
        vae=diffusers.AutoencoderKL(
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            block_out_channels=(8, 8, 8, 8),
            norm_num_groups=2,
        ).eval(),
        scheduler=diffusers.DDIMScheduler(
            beta_schedule="linear",
            clip_sample=False,
            steps_offset=1,
            timestep_spacing="linspace",
        ),
        text_encoder=clip_text(tokenizer),
        tokenizer=tokenizer,
    )


def mochi():
    """Mochi, whose folder zeroes empty prompts."""
    return diffusers.MochiPipeline(
        transformer=diffusers.MochiTransformer3DModel(
            patch_size=2,
            num_attention_heads=2,
            attention_head_dim=8,
            num_layers=2,
            pooled_projection_dim=16,
            text_embed_dim=32,
            time_embed_dim=4,
            max_sequence_length=256,
        ).eval(),
        vae=diffusers.AutoencoderKLMochi(
            encoder_block_out_channels=(32, 32, 32, 32),
            decoder_block_out_channels=(32, 32, 32, 32),
            layers_per_block=(1, 1, 1, 1, 1),
        ).eval(),
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(invert_sigmas=True),
        text_encoder=t5(),
        tokenizer=t5_tokenizer(256),
        force_zeros_for_empty_prompt=True,
    )


def llama_tokenizer(length):
    """A tokenizer of whole words, as a LLaMA's are of pieces; others are spelled as unknown."""
    vocab = {name: row for row, name in enumerate(["<pad>", "<unk>", *WORDS])}
    words = Tokenizer(models.WordLevel(vocab, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(
        tokenizer_object=words, pad_token="<pad>", unk_token="<unk>", model_max_length=length
    )


def llama(width=16):
    """The first text encoder of HunyuanVideo."""
    config = LlamaConfig(
        vocab_size=len(WORDS) + 2,
        hidden_size=width,
        intermediate_size=16,
        num_hidden_layers=3,
        num_attention_heads=2,
    )
    return LlamaModel(config).eval()


def hunyuan(guidance_embeds=True):
    """HunyuanVideo, whose guidance is an input of its net, or without that input."""
    tokenizer = clip_tokenizer(77)
    return diffusers.HunyuanVideoPipeline(
        transformer=diffusers.HunyuanVideoTransformer3DModel(
            in_channels=4,
            out_channels=4,
            num_attention_heads=2,
            attention_head_dim=10,
            num_layers=1,
            num_single_layers=1,
            num_refiner_layers=1,
            patch_size=1,
            text_embed_dim=16,
            pooled_projection_dim=8,
            rope_axes_dim=(2, 4, 4),
            guidance_embeds=guidance_embeds,
        ).eval(),
        vae=diffusers.AutoencoderKLHunyuanVideo(
            latent_channels=4,
            block_out_channels=(8, 8, 8, 8),
            layers_per_block=1,
            norm_num_groups=2,
        ).eval(),
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(shift=7.0),
        text_encoder=llama(),
        tokenizer=llama_tokenizer(256),
        text_encoder_2=clip_text(tokenizer, width=8),
        tokenizer_2=tokenizer,
    )


def hunyuan_undistilled():
    """HunyuanVideo's net without an input for guidance."""
    return hunyuan(guidance_embeds=False)


TINY = {
    "WanPipeline": wan,
    "WanPipeline large": wan_large,
    "WanPipeline small": wan_small,
    "WanImageToVideoPipeline": wan_image,
    "WanVACEPipeline": wan_vace,
    "LTXPipeline": ltx,
    "CogVideoXPipeline": cogvideox,
    "CogVideoXPipeline later": cogvideox_later,
    "CogVideoXImageToVideoPipeline": cogvideox_image,
    "CogVideoXImageToVideoPipeline later": cogvideox_image_later,
    "AnimateDiffPipeline": animatediff,
    "HunyuanVideoPipeline": hunyuan,
    "HunyuanVideoPipeline undistilled": hunyuan_undistilled,
    "MochiPipeline": mochi,
}
"""By the class that `model_index.json` names and a word where a class has several kinds;
`tests/backbones/test_families.py` runs every task on each.
"""


def shrink_native(monkeypatch, backbone, frames=9, side=32, longer=48):
    """As if a family had been trained on such small clips, which its tiny model can make."""
    native = replace(backbone.native, side=side, longer=longer, frames=frames)
    monkeypatch.setattr(type(backbone), "native", property(lambda self: native))


def save_tiny(name, folder, seed=0):
    """The tiny model of this family, in a folder."""
    torch.manual_seed(seed)
    TINY[name]().save_pretrained(folder)
    return folder
