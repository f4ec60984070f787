"""Captions from facts: a subject, what it does, where, before what, seen by which camera, in one of
five languages.

A caption says only what is drawn; it may leave things out. `compose` also returns what it said, as
(what, value) pairs.
"""

import random
import re
from dataclasses import dataclass

from openlumiere_world.backgrounds import COLOURS
from openlumiere_world.grammar import GRAMMARS, NOUNS, Noun
from openlumiere_world.names import LANGUAGES
from openlumiere_world.scene import Facts
from openlumiere_world.scope import WORLD_64, Scope
from openlumiere_world.subjects import Item, World

MENTION = {
    "background": 0.9,
    "speed": 0.8,
    "turn": 0.5,
    "place": 0.6,
    "size": 0.5,
    "style": 0.4,
    "camera": 0.95,
    "effect": 0.95,
    "own": 0.5,
    "appearance": 0.4,
}


@dataclass(frozen=True, kw_only=True)
class Caption:
    """`said`: what the text states, such as ("motion", "left") or ("background", "red")."""

    text: str
    language: str
    said: tuple[tuple[str, object], ...]


def caption(world: World, facts: Facts, scope: Scope = WORLD_64) -> str:
    """The caption of a clip, in the language its facts name; the same on every machine."""
    return compose(world, facts, scope=scope).text


def compose(
    world: World,
    facts: Facts,
    language: str | None = None,
    variation: int = 0,
    scope: Scope = WORLD_64,
) -> Caption:
    """A caption, with what it says. `variation` 0, 1, 2 ... gives other words for the same facts.

    Raises:
        ValueError: a language that the grammar does not have.
    """
    language = language or facts.language
    if language not in GRAMMARS:
        raise ValueError(
            f"expected a language among {', '.join(LANGUAGES)}, got {language!r}: use one of those"
        )
    clip = f"{facts.split}/{facts.seed}"
    if scope.wordings:  # the words depend on the content, not on the clip
        clip, variation = _content(facts), (facts.seed + variation) % scope.wordings
    rng = random.Random(f"caption/{clip}/{language}/{variation}")
    return _Writer(
        facts,
        [world.by_id[actor.item] for actor in facts.actors],
        language,
        rng,
        scope.default_style,
    ).write()


def _content(facts: Facts) -> str:
    """All that a caption can tell."""
    told = (
        facts.motion,
        facts.speed,
        facts.turn,
        facts.towards,
        facts.loop,
        facts.place,
        facts.size,
        facts.count,
        facts.pair,
        facts.camera,
    )
    effect = facts.effect.name if facts.effect else ""
    return "/".join(
        map(
            str,
            (
                *(actor.item for actor in facts.actors),
                *told,
                facts.background,
                effect,
                facts.frames == 1,
            ),
        )
    )


class _Writer:
    """Writes one caption; notes what it says as it goes."""

    def __init__(
        self, facts: Facts, items: list[Item], language: str, rng: random.Random, default_style: str
    ):
        self.facts, self.items, self.rng = facts, items, rng
        self.language, self.grammar = language, GRAMMARS[language]
        self.default_style = default_style
        self.said: list[tuple[str, object]] = [("subject", item.subject) for item in items]

    def write(self) -> Caption:
        subject, clause, behind = self._subject(), self._clause(), self._behind()
        orders = self.grammar.orders if clause else self.grammar.unmoved_orders
        if self.facts.frames == 1:
            orders = self.grammar.picture_orders
        order = self.rng.choice(orders) if behind else "{subject} {clause}"
        sentence = order.format(subject=subject, clause=clause, behind=behind)
        text = ", ".join(filter(None, [sentence, *self._asides()]))
        return Caption(
            text=_tidy(text, self.language), language=self.language, said=tuple(self.said)
        )

    def _says(self, what: str, value: object, always: bool = False) -> bool:
        """Whether to state an optional fact, decided by chance; notes it when so."""
        says = self.rng.random() < MENTION[what] or always
        if says:
            self.said.append((what, value))
        return says

    def _subject(self) -> str:
        return " ".join(filter(None, [self._who(), self._style(), self._place(), self._size()]))

    def _who(self) -> str:
        if self.facts.pair == "beside":
            self.said.append(("pair", "beside"))
            return self.grammar.beside.format(
                a=self._name(self.items[0]), b=self._name(self.items[1])
            )
        if self.facts.count > 1:
            self.said.append(("count", self.facts.count))
            number = self.grammar.numbers[self.facts.count]
            noun = _noun(self.items[0], self.language)
            assert noun is not None, "copies are drawn of what has a plural"
            return f"{number} {noun.many}"
        return self._name(self.items[0], described=True)

    def _name(self, item: Item, described: bool = False, accusative: bool = False) -> str:
        if (
            described
            and self.language == "en"
            and item.appearance_en
            and self._says("appearance", item.subject)
        ):
            return item.appearance_en
        noun = _noun(item, self.language)
        if noun:
            return f"{_article(noun, self.language, accusative)}{noun.one}"
        return _english(item.names["en"]) if self.language == "en" else item.names[self.language]

    def _style(self) -> str:
        styles = {item.style for item in self.items}
        style = self.items[0].style
        told = len(styles) == 1 and self._says(
            "style", style, always=self.default_style not in ("", style)
        )
        return self.grammar.styles[style] if told else ""

    def _place(self) -> str:
        return (
            self.grammar.places[self.facts.place]
            if self.facts.place and self._says("place", self.facts.place)
            else ""
        )

    def _size(self) -> str:
        plain = self.facts.size != "medium" and not self.facts.pair and self.facts.count == 1
        told = plain and self.facts.motion not in ("towards", "away", "circle")
        return (
            self.grammar.sizes[self.facts.size]
            if told and self._says("size", self.facts.size)
            else ""
        )

    def _clause(self) -> str:
        if self.facts.frames == 1:
            return ""
        if self.facts.motion == "stay" and any(item.kind == "animated" for item in self.items):
            return self._own_motion()
        self.said.append(("motion", self.facts.motion))
        verb, speed = self._verb(), self._speed()
        if speed and self.language == "de":  # the adverb stands behind the verb
            verb, speed = re.sub(r"^(\S+(?: sich)?)", rf"\1 {speed}", verb), ""
        return " ".join(filter(None, [verb, self._way(), self._turn(), speed]))

    def _own_motion(self) -> str:
        """What an animation itself shows, where somebody has written it down."""
        item = self.items[0]
        written = {"en": item.motion_en, "it": item.motion_it}.get(self.language, "")
        if not written or len(self.items) > 1:
            return ""
        self.said.append(("own", item.subject))
        return written

    def _verb(self) -> str:
        verbs = self.grammar.motions[self.facts.motion]
        if self.facts.count > 1 or self.facts.pair == "beside":
            return self.rng.choice(verbs.many)
        verb = self.rng.choice(verbs.one)
        object_case = self.facts.pair in ("orbit", "chase")
        return (
            verb.format(b=self._name(self.items[1], accusative=object_case))
            if self.facts.pair
            else verb
        )

    def _way(self) -> str:
        if not self.facts.towards:
            return ""
        self.said.append(("towards", self.facts.towards))
        return self.grammar.ways[self.facts.towards]

    def _turn(self) -> str:
        return (
            self.grammar.turns[self.facts.turn]
            if self.facts.turn and self._says("turn", self.facts.turn)
            else ""
        )

    def _speed(self) -> str:
        told = self.facts.speed in self.grammar.speeds and self._says("speed", self.facts.speed)
        return self.rng.choice(self.grammar.speeds[self.facts.speed]) if told else ""

    def _behind(self) -> str:
        background = self.facts.background
        if not self._says("background", background.name):
            return ""
        if background.name in COLOURS:
            return self.rng.choice(self.grammar.plain).format(
                colour=self.grammar.colours[background.name]
            )
        if background.name == "gradient":
            first, last = (self._colour_name(colour) for colour in background.colours)
            return self.grammar.gradient.format(first=first, last=last)
        return self.rng.choice(self.grammar.scenes[background.name])

    def _colour_name(self, colour: str) -> str:
        return self.grammar.colour_names.get(colour) or self.grammar.colours[colour]

    def _asides(self) -> list[str]:
        return [self._effect(), self._besides(), self._camera(), self._loop()]

    def _effect(self) -> str:
        effect = self.facts.effect
        return (
            self.rng.choice(self.grammar.effects[effect.name])
            if effect and self._says("effect", effect.name)
            else ""
        )

    def _besides(self) -> str:
        """An animation's own motion, beside the one we gave it."""
        apart = self.facts.motion not in ("stay", "spin", "shake") and self.facts.frames > 1
        if (
            not (apart and self.grammar.own and self.items[0].kind == "animated")
            or self.rng.random() > MENTION["own"]
        ):
            return ""
        written = self._own_motion()
        return self.grammar.own.format(motion=written) if written else ""

    def _camera(self) -> str:
        moves = self.facts.camera != "still"
        return (
            self.rng.choice(self.grammar.cameras[self.facts.camera])
            if moves and self._says("camera", self.facts.camera)
            else ""
        )

    def _loop(self) -> str:
        if not self.facts.loop:
            return ""
        self.said.append(("loop", True))
        return self.rng.choice(self.grammar.loop)


def _noun(item: Item, language: str) -> Noun | None:
    return None if item.toned else NOUNS.get(item.base, {}).get(language)


def _article(noun: Noun, language: str, accusative: bool) -> str:
    if language == "en":
        return "an " if noun.one[0] in "aeiou" else "a "
    if language == "it":
        return _italian_article(noun)
    if language == "de":
        return {"m": "einen " if accusative else "ein ", "f": "eine ", "n": "ein "}.get(
            noun.gender, ""
        )
    return {"es": ("un ", "una "), "fr": ("un ", "une ")}[language][noun.gender == "f"]


def _italian_article(noun: Noun) -> str:
    if noun.gender == "f":
        return "un'" if noun.one[0] in "aeiou" else "una "
    return "uno " if re.match(r"s[^aeiou]|z|gn|ps|x|y", noun.one) else "un "


def _english(label: str) -> str:
    """An emoji's English name with its article: 'flag: Italy' -> 'the flag of Italy'."""
    kind, _, detail = label.partition(": ")
    if kind == "flag":
        return f"the flag of {detail}"
    name = f"{kind} with {detail}" if detail else kind
    head = re.split(
        r" (?:with|in|of|behind|on|hugging|holding|wrestling|lifting|showing|over)\b", kind
    )[0]
    if re.search(r"(\b(people|men|women)|(?<!cero)(?<![usi’])s) ?$", head):  # plural: no article
        return name
    return f"{'an' if re.match('(?!eu|uni|one )[aeiouAEIO]', name) else 'a'} {name}"


_REPAIRS = {  # words that change before others
    "fr": ((r"\bde (?=[aeiouéèêœ])", "d'"), (r"\bDe (?=[aeiouéèêœ])", "D'")),
    "es": ((r"\by (?=i|hi)", "e "),),
}


def _tidy(text: str, language: str) -> str:
    for pattern, repaired in _REPAIRS.get(language, ()):
        text = re.sub(pattern, repaired, text)
    return re.sub(r"\s+", " ", re.sub(r"\s+,", ",", text)).strip()
