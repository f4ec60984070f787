"""Stickers as they are asked for: sentences or clips, and the place that they are for."""

from __future__ import annotations

import re
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, model_validator

from openlumiere.tasks.base import Value
from openlumiere.tasks.kinds import Generate, several_media
from openlumiere.tasks.media import Given
from openlumiere.tasks.values import Length, Sampling, Sentence, Sentences

STICKER_SIDE = 512  # pixels of what is drawn: the largest canvas of a place
MOST_STICKERS = 200
GROUND = ", on a white background"
CLEAR_GROUND = ", on a transparent background"
GROUND_WORDS = ("background", "sfondo", "fondo", "fond", "hintergrund")
"""What a ground is called in the five languages of the bundled weights."""

PlaceName = Literal[
    "telegram",
    "telegram-emoji",
    "whatsapp",
    "discord",
    "slack",
    "line",
    "signal",
    "imessage",
]
Clips = Annotated[
    tuple[Given, ...], BeforeValidator(several_media), Field(max_length=MOST_STICKERS)
]


class Sticker(Value):
    """Stickers for a messenger, within its limits: format, size, time, frames and bytes."""

    examples: ClassVar[tuple[str, ...]] = (
        'lumiere sticker "a crying face" --for telegram -o cry',
        'lumiere sticker "a cat" "a dog" "a fox" --for whatsapp --name Pets -o pets',
        "lumiere sticker --clip cat.webm --clip dog.webm --for slack -o clips",
    )
    place: PlaceName = Field(description="Where the stickers are to be used.")
    prompts: Sentences = Field((), description="What a sticker shows, one sentence each.")
    clips: Clips = Field((), description="Clips to make stickers of, instead of sentences.")
    sampling: Sampling = Sampling()
    length: Length = Length()
    name: Sentence = Field("Stickers", description="What the pack is called.")
    author: Sentence = Field("openlumiere", description="Who the pack is by.")
    emoji: Annotated[tuple[str, ...], BeforeValidator(several_media)] = Field(
        ("🙂",), description="An emoji for all stickers, or one for each."
    )

    @model_validator(mode="after")
    def check(self) -> Sticker:
        """Sentences or clips, not both and not neither."""
        if bool(self.prompts) == bool(self.clips):
            got = "both" if self.prompts else "neither"
            raise ValueError(
                f"sticker: expected sentences or clips, got {got}, give one of the two"
            )
        return self

    def tasks(self, ground: str = GROUND) -> list[Generate]:
        """What is to be drawn, a task a sentence, seeds counting up; before `ground` where a
        sentence names none.
        """
        return [
            Generate(
                prompt=on_ground(prompt, ground),
                sampling=self._sampling(index),
                length=self.length,
                size=STICKER_SIDE,
            )
            for index, prompt in enumerate(self.prompts)
        ]

    def _sampling(self, index: int) -> Any:
        return self.sampling.model_copy(update={"seed": self.sampling.seed + index})


def on_ground(prompt: str, ground: str = GROUND) -> str:
    """The prompt, with `ground` asked for where it names none: a net that is free to choose changes
    the ground within a clip. A white one is keyed out afterwards. Our choice.
    """
    words = re.findall(r"\w+", prompt.lower())
    named = any(word in GROUND_WORDS for word in words)
    return prompt if named else prompt + ground
