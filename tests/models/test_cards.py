"""The cards of the bundled weights are in the hub's format and say what the project's pages say."""

from pathlib import Path

import pytest
from huggingface_hub import ModelCard

ROOT = Path(__file__).parents[2]
CARDS = {"weights": "model-card.md", "weights_toys": "model-toys.md"}


@pytest.mark.parametrize("name", CARDS)
def test_the_card_of_bundled_weights(name):
    card = ModelCard.load(ROOT / "src/openlumiere" / name / "README.md")
    assert card.data.license == "apache-2.0" and card.data.pipeline_tag == "text-to-video"
    page = (ROOT / "docs" / CARDS[name]).read_text(encoding="utf-8")
    assert len(card.data.eval_results) >= 4
    for result in card.data.eval_results:
        assert f"{result.metric_value:g} %" in page, result.metric_name
