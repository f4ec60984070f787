"""Memory of published video models, computed from their published configs: nothing is fetched and
nothing is run.

    python benchmarks/published_memory.py

Nets are built on the meta device in bfloat16. Weights are counted exactly; passes and decoding are
the estimates of `engine/offload.py`, at each model's native size, with guidance.
"""

from typing import Any, NamedTuple

import diffusers
import torch
import transformers
from torch import nn

from openlumiere.backbones.registry import FAMILIES, Published
from openlumiere.engine.model import bytes_of
from openlumiere.engine.offload import choose, sizes_of

CARDS = (8, 12, 16, 24, 48, 80)  # GiB
LEFT = 0.9  # share of a card that is not taken by the system and by torch


def umt5() -> nn.Module:
    config = transformers.UMT5Config(
        vocab_size=256384, d_model=4096, d_kv=64, d_ff=10240, num_layers=24, num_heads=64
    )
    return transformers.UMT5EncoderModel(config)


def t5() -> nn.Module:
    config = transformers.T5Config(
        vocab_size=32128,
        d_model=4096,
        d_kv=64,
        d_ff=10240,
        num_layers=24,
        num_heads=64,
        feed_forward_proj="gated-gelu",
    )
    return transformers.T5EncoderModel(config)


def llama() -> nn.Module:
    config = transformers.LlamaConfig(
        vocab_size=128320,
        hidden_size=4096,
        intermediate_size=14336,
        num_hidden_layers=32,
        num_attention_heads=32,
        num_key_value_heads=8,
    )
    return transformers.LlamaModel(config)


def clip_text() -> nn.Module:
    config = transformers.CLIPTextConfig(
        hidden_size=768, intermediate_size=3072, num_hidden_layers=12, num_attention_heads=12
    )
    return transformers.CLIPTextModel(config)


def clip_vision() -> nn.Module:
    config = transformers.CLIPVisionConfig(
        hidden_size=1280,
        intermediate_size=5120,
        num_hidden_layers=32,
        num_attention_heads=16,
        image_size=224,
        patch_size=14,
    )
    return transformers.CLIPVisionModel(config)


def wan_net(**changes: Any) -> nn.Module:
    return diffusers.WanTransformer3DModel(**changes)


SMALL_WAN = {"num_attention_heads": 12, "num_layers": 30, "ffn_dim": 8960}
FLOW = diffusers.FlowMatchEulerDiscreteScheduler


def wan(**net: Any) -> dict[str, Any]:
    return {
        "transformer": wan_net(**net),
        "vae": diffusers.AutoencoderKLWan(),
        "text_encoder": umt5(),
        "scheduler": FLOW(shift=3.0),
    }


def wan_small_vace() -> dict[str, Any]:
    layers = list(range(0, 30, 2))
    net = diffusers.WanVACETransformer3DModel(**SMALL_WAN, vace_layers=layers, vace_in_channels=96)
    return {**wan(**SMALL_WAN), "transformer": net}


def wan_image() -> dict[str, Any]:
    return {**wan(in_channels=36, image_dim=1280), "image_encoder": clip_vision()}


def wan_5b() -> dict[str, Any]:
    net = {
        "num_attention_heads": 24,
        "num_layers": 30,
        "ffn_dim": 14336,
        "in_channels": 48,
        "out_channels": 48,
    }
    vae = diffusers.AutoencoderKLWan(
        base_dim=160,
        decoder_base_dim=256,
        z_dim=48,
        in_channels=12,
        out_channels=12,
        is_residual=True,
        patch_size=2,
        scale_factor_spatial=16,
        latents_mean=[0.0] * 48,
        latents_std=[1.0] * 48,
    )
    return {**wan(**net), "vae": vae}


def ltx() -> dict[str, Any]:
    return {
        "transformer": diffusers.LTXVideoTransformer3DModel(),
        "vae": diffusers.AutoencoderKLLTXVideo(),
        "text_encoder": t5(),
        "scheduler": FLOW(),
    }


def cogvideox(**net: Any) -> dict[str, Any]:
    return {
        "transformer": diffusers.CogVideoXTransformer3DModel(**net),
        "vae": diffusers.AutoencoderKLCogVideoX(),
        "text_encoder": t5(),
        "scheduler": diffusers.CogVideoXDDIMScheduler(),
    }


LARGE_COG = {
    "num_attention_heads": 48,
    "num_layers": 42,
    "use_rotary_positional_embeddings": True,
}
COG_IMAGE = {**LARGE_COG, "in_channels": 32, "out_channels": 16}
LATER_COG = {
    "patch_size_t": 2,
    "patch_bias": False,
    "sample_height": 300,
    "sample_width": 300,
    "sample_frames": 81,
}


def hunyuan() -> dict[str, Any]:
    return {
        "transformer": diffusers.HunyuanVideoTransformer3DModel(),
        "vae": diffusers.AutoencoderKLHunyuanVideo(),
        "text_encoder": llama(),
        "text_encoder_2": clip_text(),
        "scheduler": FLOW(shift=7.0),
    }


def mochi() -> dict[str, Any]:
    return {
        "transformer": diffusers.MochiTransformer3DModel(),
        "vae": diffusers.AutoencoderKLMochi(),
        "text_encoder": t5(),
        "scheduler": FLOW(invert_sigmas=True),
    }


def animatediff() -> dict[str, Any]:
    unet = diffusers.UNet2DConditionModel(cross_attention_dim=768, attention_head_dim=8)
    adapter = diffusers.MotionAdapter()
    return {
        "unet": diffusers.UNetMotionModel.from_unet2d(unet, adapter),
        "vae": diffusers.AutoencoderKL(
            block_out_channels=(128, 256, 512, 512),
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            layers_per_block=2,
        ),
        "text_encoder": clip_text(),
        "scheduler": diffusers.DDIMScheduler(),
    }


class Model(NamedTuple):
    """A published model: the class of its pipeline, its parts, the entries of its index."""

    family: str
    parts: Any
    values: dict[str, Any]
    nets: int = 1


MODELS = {
    "Wan-AI/Wan2.1-T2V-1.3B-Diffusers": Model("WanPipeline", lambda: wan(**SMALL_WAN), {}),
    "Wan-AI/Wan2.1-T2V-14B-Diffusers": Model("WanPipeline", wan, {}),
    "Wan-AI/Wan2.1-I2V-14B-480P-Diffusers": Model("WanImageToVideoPipeline", wan_image, {}),
    "Wan-AI/Wan2.1-VACE-1.3B-diffusers": Model("WanVACEPipeline", wan_small_vace, {}),
    "Wan-AI/Wan2.2-T2V-A14B-Diffusers": Model("WanPipeline", wan, {"boundary_ratio": 0.875}, 2),
    "Wan-AI/Wan2.2-TI2V-5B-Diffusers": Model("WanPipeline", wan_5b, {"expand_timesteps": True}),
    "Lightricks/LTX-Video": Model("LTXPipeline", ltx, {}),
    "zai-org/CogVideoX-2b": Model("CogVideoXPipeline", cogvideox, {}),
    "zai-org/CogVideoX-5b": Model("CogVideoXPipeline", lambda: cogvideox(**LARGE_COG), {}),
    "zai-org/CogVideoX-5b-I2V": Model(
        "CogVideoXImageToVideoPipeline",
        lambda: cogvideox(**COG_IMAGE, use_learned_positional_embeddings=True),
        {},
    ),
    "zai-org/CogVideoX1.5-5B": Model(
        "CogVideoXPipeline", lambda: cogvideox(**LARGE_COG, **LATER_COG), {}
    ),
    "zai-org/CogVideoX1.5-5B-I2V": Model(
        "CogVideoXImageToVideoPipeline",
        lambda: cogvideox(**COG_IMAGE, **LATER_COG, ofs_embed_dim=512),
        {},
    ),
    "hunyuanvideo-community/HunyuanVideo": Model("HunyuanVideoPipeline", hunyuan, {}),
    "genmo/mochi-1-preview": Model("MochiPipeline", mochi, {"force_zeros_for_empty_prompt": True}),
    "SD 1.5 + guoyww/animatediff-motion-adapter-v1-5-2": Model(
        "AnimateDiffPipeline", animatediff, {}
    ),
}


def report(name: str, model: Model) -> str:
    """A row: bytes of text encoders, net, autoencoder and all; what `--memory` takes by card."""
    with torch.device("meta"):
        parts = {key: part for key, part in model.parts().items()}
    for part in parts.values():
        if isinstance(part, nn.Module):
            part.to(torch.bfloat16)
    net = "unet" if "unet" in parts else "transformer"
    text = sum(bytes_of(part) for key, part in parts.items() if "encoder" in key)
    sizes = (text, model.nets * bytes_of(parts[net]), bytes_of(parts["vae"]))
    numbers = " | ".join(f"{size / 2**30:.1f}" for size in (*sizes, sum(sizes)))
    return f"| `{name}` | {numbers} | {cards(model, parts)} |"


def cards(model: Model, parts: dict[str, Any]) -> str:
    """What is chosen for the smallest card that takes it, and the smallest without offloading."""
    given = {**dict.fromkeys(FAMILIES[model.family].parts), **parts}
    if model.nets == 2:
        given["transformer_2"] = given["transformer"]
    backbone = FAMILIES[model.family].build({**given, **model.values})
    published = Published(name=model.family, parts=given, values=model.values, backbone=backbone)
    sizes = sizes_of(published)
    found = {}
    for card in CARDS:
        try:
            way = choose(backbone, sizes, int(LEFT * card * 2**30), "cuda")
        except ValueError:
            continue
        words = str(way).partition(":")[0]
        if words not in found.values():
            found[card] = words
    return "; ".join(f"{card} GiB: {words}" for card, words in found.items()) or "above 80 GiB"


def main() -> None:
    diffusers.utils.logging.set_verbosity_error()
    print("| model | text | net | vae | all (GiB in bfloat16) | what --memory chooses, from card |")
    print("|---|---|---|---|---|---|")
    for name, model in MODELS.items():
        print(report(name, model), flush=True)


if __name__ == "__main__":
    main()
