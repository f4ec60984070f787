"""What a scene is called, in English, Italian, Spanish, French and German.

A caption says who, what it does, where to, before what, in which style, how the camera moves and
what falls; each of these but the subject is left out at random, as `SAID` has it, so that a model
learns to choose what nobody asked for. Names that have no article in the tables below go without
one.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from openlumiere_world.toys.grounds import SCENES
from openlumiere_world.toys.pack import Item
from openlumiere_world.toys.scene import Scene
from openlumiere_world.toys.subjects import LANGUAGES, Subject, everyday_names

SAID = {
    "action": 0.9,
    "way": 0.75,
    "ground": 0.8,
    "style": 0.5,
    "view": 0.25,
    "camera": 0.7,
    "effect": 0.85,
}
EVERYDAY = 0.5  # of the names, where there are any
SHARES = {"en": 0.5, "it": 0.125, "es": 0.125, "fr": 0.125, "de": 0.125}


@dataclass(frozen=True, kw_only=True)
class Words:
    """Of one language. `moves` are third person; `orders` are over {who}, {does}, {where} and
    {rest}.
    """

    orders: tuple[str, ...]
    moves: dict[str, tuple[str, ...]]
    ways: dict[str, str]
    grounds: dict[str, tuple[str, ...]]
    plain: tuple[str, ...]  # over {colour}
    gradient: str  # over {first}, {last}
    colours: dict[str, str]
    styles: dict[str, str]
    views: dict[str, str]
    cameras: dict[str, str]
    effects: dict[str, str]


ENGLISH = Words(
    orders=(
        "{who} {does} {where}{rest}",
        "{who} {does} {where}{rest}",
        "{where}, {who} {does}{rest}",
    ),
    moves={
        "stay": ("stays still", "rests in place"),
        "left": ("moves to the left", "moves left"),
        "right": ("moves to the right", "moves right"),
        "up": ("moves up", "rises"),
        "down": ("moves down", "sinks"),
        "towards": ("comes closer", "comes towards the camera"),
        "away": ("moves away", "goes away into the distance"),
        "spin": ("spins", "rotates"),
        "swing": ("swings from side to side",),
        "bounce": ("bounces", "bounces up and down"),
        "jump": ("jumps", "hops"),
        "float": ("floats", "hovers"),
        "shake": ("shakes", "trembles"),
        "appear": ("appears", "fades in"),
        "fade": ("fades away", "disappears"),
        "circle": ("moves in a circle",),
    },
    ways={"left": "to the left", "right": "to the right", "towards": "towards the camera"},
    grounds={
        "transparent": ("on a transparent background", "as a transparent sticker"),
        "meadow": ("on a green meadow", "in a meadow"),
        "sea": ("at sea", "in front of the sea"),
        "beach": ("on a beach", "on the sand by the sea"),
        "snow": ("in the snow", "in a snowy landscape"),
        "forest": ("in a forest", "among trees"),
        "city": ("in a city", "on a city street"),
        "night": ("under a night sky", "at night under the moon"),
        "space": ("in space", "among stars and planets"),
        "room": ("in a room", "indoors"),
        "underwater": ("underwater", "under the sea"),
    },
    plain=("on a {colour} background", "on plain {colour}"),
    gradient="on a gradient from {first} to {last}",
    colours={
        "red": "red",
        "blue": "blue",
        "green": "green",
        "yellow": "yellow",
        "white": "white",
        "black": "black",
        "orange": "orange",
        "purple": "purple",
        "pink": "pink",
        "grey": "grey",
    },
    styles={
        "3d": "in 3D style",
        "noto": "in Noto style",
        "flat": "in flat style",
        "twemoji": "in Twemoji style",
        "toy": "as a 3D toy",
    },
    views={"side": "seen from the side", "front": "seen from the front"},
    cameras={
        "pan left": "the camera pans left",
        "pan right": "the camera pans right",
        "pan up": "the camera pans up",
        "pan down": "the camera pans down",
        "zoom in": "the camera zooms in",
        "zoom out": "the camera zooms out",
        "follow": "the camera follows it",
    },
    effects={
        "rain": "in the rain",
        "snow": "while snow falls",
        "confetti": "as confetti falls",
        "bubbles": "among bubbles",
    },
)

ITALIAN = Words(
    orders=("{who} {does} {where}{rest}", "{where}, {who} {does}{rest}"),
    moves={
        "stay": ("sta sul posto",),
        "left": ("si muove verso sinistra", "va a sinistra"),
        "right": ("si muove verso destra", "va a destra"),
        "up": ("sale", "si muove verso l'alto"),
        "down": ("scende", "si muove verso il basso"),
        "towards": ("si avvicina",),
        "away": ("si allontana",),
        "spin": ("gira su sé", "ruota"),
        "swing": ("oscilla da un lato all'altro",),
        "bounce": ("rimbalza",),
        "jump": ("salta",),
        "float": ("fluttua",),
        "shake": ("trema",),
        "appear": ("appare",),
        "fade": ("svanisce",),
        "circle": ("si muove in cerchio",),
    },
    ways={"left": "verso sinistra", "right": "verso destra", "towards": "verso la camera"},
    grounds={
        "transparent": ("su sfondo trasparente",),
        "meadow": ("su un prato verde",),
        "sea": ("davanti al mare",),
        "beach": ("sulla spiaggia",),
        "snow": ("nella neve",),
        "forest": ("nel bosco",),
        "city": ("in città",),
        "night": ("sotto il cielo di notte",),
        "space": ("nello spazio",),
        "room": ("in una stanza",),
        "underwater": ("sott'acqua",),
    },
    plain=("su sfondo {colour}",),
    gradient="su uno sfondo sfumato da {first} a {last}",
    colours={
        "red": "rosso",
        "blue": "blu",
        "green": "verde",
        "yellow": "giallo",
        "white": "bianco",
        "black": "nero",
        "orange": "arancione",
        "purple": "viola",
        "pink": "rosa",
        "grey": "grigio",
    },
    styles={
        "3d": "in stile 3D",
        "noto": "in stile Noto",
        "flat": "in stile piatto",
        "twemoji": "in stile Twemoji",
        "toy": "come giocattolo 3D",
    },
    views={"side": "visto di lato", "front": "visto di fronte"},
    cameras={
        "pan left": "la camera si sposta a sinistra",
        "pan right": "la camera si sposta a destra",
        "pan up": "la camera si sposta in alto",
        "pan down": "la camera si sposta in basso",
        "zoom in": "la camera zooma in avanti",
        "zoom out": "la camera zooma indietro",
        "follow": "la camera lo segue",
    },
    effects={
        "rain": "sotto la pioggia",
        "snow": "mentre nevica",
        "confetti": "tra i coriandoli",
        "bubbles": "tra le bolle",
    },
)

SPANISH = Words(
    orders=("{who} {does} {where}{rest}", "{where}, {who} {does}{rest}"),
    moves={
        "stay": ("no se mueve",),
        "left": ("se mueve a la izquierda",),
        "right": ("se mueve a la derecha",),
        "up": ("sube",),
        "down": ("baja",),
        "towards": ("se acerca",),
        "away": ("se aleja",),
        "spin": ("gira",),
        "swing": ("se balancea de lado a lado",),
        "bounce": ("rebota",),
        "jump": ("salta",),
        "float": ("flota",),
        "shake": ("tiembla",),
        "appear": ("aparece",),
        "fade": ("se desvanece",),
        "circle": ("se mueve en círculo",),
    },
    ways={"left": "hacia la izquierda", "right": "hacia la derecha", "towards": "hacia la cámara"},
    grounds={
        "transparent": ("sobre fondo transparente",),
        "meadow": ("en un prado verde",),
        "sea": ("frente al mar",),
        "beach": ("en la playa",),
        "snow": ("en la nieve",),
        "forest": ("en el bosque",),
        "city": ("en la ciudad",),
        "night": ("bajo el cielo nocturno",),
        "space": ("en el espacio",),
        "room": ("en una habitación",),
        "underwater": ("bajo el agua",),
    },
    plain=("sobre fondo {colour}",),
    gradient="sobre un degradado de {first} a {last}",
    colours={
        "red": "rojo",
        "blue": "azul",
        "green": "verde",
        "yellow": "amarillo",
        "white": "blanco",
        "black": "negro",
        "orange": "naranja",
        "purple": "morado",
        "pink": "rosa",
        "grey": "gris",
    },
    styles={
        "3d": "en estilo 3D",
        "noto": "en estilo Noto",
        "flat": "en estilo plano",
        "twemoji": "en estilo Twemoji",
        "toy": "como juguete 3D",
    },
    views={"side": "visto de lado", "front": "visto de frente"},
    cameras={
        "pan left": "la cámara se mueve a la izquierda",
        "pan right": "la cámara se mueve a la derecha",
        "pan up": "la cámara sube",
        "pan down": "la cámara baja",
        "zoom in": "la cámara se acerca",
        "zoom out": "la cámara se aleja",
        "follow": "la cámara lo sigue",
    },
    effects={
        "rain": "bajo la lluvia",
        "snow": "mientras nieva",
        "confetti": "entre confeti",
        "bubbles": "entre burbujas",
    },
)

FRENCH = Words(
    orders=("{who} {does} {where}{rest}", "{where}, {who} {does}{rest}"),
    moves={
        "stay": ("reste sur place",),
        "left": ("va vers la gauche",),
        "right": ("va vers la droite",),
        "up": ("monte",),
        "down": ("descend",),
        "towards": ("s'approche",),
        "away": ("s'éloigne",),
        "spin": ("tourne",),
        "swing": ("se balance d'un côté à l'autre",),
        "bounce": ("rebondit",),
        "jump": ("saute",),
        "float": ("flotte",),
        "shake": ("tremble",),
        "appear": ("apparaît",),
        "fade": ("disparaît",),
        "circle": ("tourne en rond",),
    },
    ways={"left": "vers la gauche", "right": "vers la droite", "towards": "vers la caméra"},
    grounds={
        "transparent": ("sur fond transparent",),
        "meadow": ("dans un pré vert",),
        "sea": ("devant la mer",),
        "beach": ("sur la plage",),
        "snow": ("dans la neige",),
        "forest": ("dans la forêt",),
        "city": ("en ville",),
        "night": ("sous le ciel nocturne",),
        "space": ("dans l'espace",),
        "room": ("dans une pièce",),
        "underwater": ("sous l'eau",),
    },
    plain=("sur fond {colour}",),
    gradient="sur un dégradé de {first} à {last}",
    colours={
        "red": "rouge",
        "blue": "bleu",
        "green": "vert",
        "yellow": "jaune",
        "white": "blanc",
        "black": "noir",
        "orange": "orange",
        "purple": "violet",
        "pink": "rose",
        "grey": "gris",
    },
    styles={
        "3d": "en style 3D",
        "noto": "en style Noto",
        "flat": "en style plat",
        "twemoji": "en style Twemoji",
        "toy": "en jouet 3D",
    },
    views={"side": "vu de côté", "front": "vu de face"},
    cameras={
        "pan left": "la caméra va à gauche",
        "pan right": "la caméra va à droite",
        "pan up": "la caméra monte",
        "pan down": "la caméra descend",
        "zoom in": "la caméra avance",
        "zoom out": "la caméra recule",
        "follow": "la caméra le suit",
    },
    effects={
        "rain": "sous la pluie",
        "snow": "pendant qu'il neige",
        "confetti": "sous les confettis",
        "bubbles": "parmi les bulles",
    },
)

GERMAN = Words(
    orders=("{who} {does} {where}{rest}",),
    moves={
        "stay": ("bleibt an seinem Platz",),
        "left": ("bewegt sich nach links",),
        "right": ("bewegt sich nach rechts",),
        "up": ("steigt auf",),
        "down": ("sinkt",),
        "towards": ("kommt näher",),
        "away": ("entfernt sich",),
        "spin": ("dreht sich",),
        "swing": ("schwingt hin und her",),
        "bounce": ("hüpft auf und ab",),
        "jump": ("springt",),
        "float": ("schwebt",),
        "shake": ("zittert",),
        "appear": ("erscheint",),
        "fade": ("verschwindet",),
        "circle": ("bewegt sich im Kreis",),
    },
    ways={"left": "nach links", "right": "nach rechts", "towards": "auf die Kamera zu"},
    grounds={
        "transparent": ("auf transparentem Hintergrund",),
        "meadow": ("auf einer grünen Wiese",),
        "sea": ("vor dem Meer",),
        "beach": ("am Strand",),
        "snow": ("im Schnee",),
        "forest": ("im Wald",),
        "city": ("in der Stadt",),
        "night": ("unter dem Nachthimmel",),
        "space": ("im Weltraum",),
        "room": ("in einem Zimmer",),
        "underwater": ("unter Wasser",),
    },
    plain=("vor {colour} Hintergrund",),
    gradient="vor einem Verlauf von {first} nach {last}",
    colours={
        "red": "rotem",
        "blue": "blauem",
        "green": "grünem",
        "yellow": "gelbem",
        "white": "weißem",
        "black": "schwarzem",
        "orange": "orangem",
        "purple": "violettem",
        "pink": "rosa",
        "grey": "grauem",
    },
    styles={
        "3d": "im 3D-Stil",
        "noto": "im Noto-Stil",
        "flat": "im flachen Stil",
        "twemoji": "im Twemoji-Stil",
        "toy": "als 3D-Spielzeug",
    },
    views={"side": "von der Seite gesehen", "front": "von vorn gesehen"},
    cameras={
        "pan left": "die Kamera schwenkt nach links",
        "pan right": "die Kamera schwenkt nach rechts",
        "pan up": "die Kamera schwenkt nach oben",
        "pan down": "die Kamera schwenkt nach unten",
        "zoom in": "die Kamera zoomt heran",
        "zoom out": "die Kamera zoomt heraus",
        "follow": "die Kamera folgt",
    },
    effects={
        "rain": "im Regen",
        "snow": "während es schneit",
        "confetti": "im Konfettiregen",
        "bubbles": "zwischen Blasen",
    },
)

WORDS = {"en": ENGLISH, "it": ITALIAN, "es": SPANISH, "fr": FRENCH, "de": GERMAN}
GERMAN_COLOURS = {
    "red": "Rot",
    "blue": "Blau",
    "green": "Grün",
    "yellow": "Gelb",
    "white": "Weiß",
    "black": "Schwarz",
    "orange": "Orange",
    "purple": "Violett",
    "pink": "Rosa",
    "grey": "Grau",
}
UNCOUNTED = {
    "fire",
    "sparkles",
    "hundred points",
    "fireworks",
    "books",
    "bread",
    "french fries",
    "cloud with lightning and rain",
}
FEMININE = {
    "it": {"volpe", "ape", "rana", "balena", "mucca", "cerva", "vespa", "manta", "carpa"},
    "es": {
        "abeja",
        "ballena",
        "vaca",
        "rana",
        "araña",
        "serpiente",
        "rata",
        "avispa",
        "manta",
        "alpaca",
        "piraña",
        "cierva",
        "calavera",
    },
    "fr": {
        "vache",
        "biche",
        "baleine",
        "grenouille",
        "abeille",
        "araignée",
        "guêpe",
        "baudroie",
        "raie",
        "carpe",
        "rascasse",
    },
    "de": {"Kuh", "Biene", "Wespe", "Spinne", "Schlange", "Ratte", "Krabbe", "Schatztruhe"},
}


def caption(
    scene: Scene,
    item: Item,
    subject: Subject,
    seed: int,
    language: str | None = None,
    whole: bool = False,
    where: str | None = None,
) -> str:
    """One sentence, by the seed. `whole` says everything; a language that is not named is drawn by
    `SHARES`. `where` is said of the ground instead of its own words.
    """
    generator = torch.Generator().manual_seed(seed)
    language = language or drawn_language(generator)
    words = WORDS[language]
    said = {
        part: whole or float(torch.rand((), generator=generator)) < share
        for part, share in SAID.items()
    }
    said["style"] |= subject.shared
    if where is None:
        phrases = ground_phrases(words, scene.ground, language)
        where = picked(phrases, generator) if said["ground"] else ""
    parts = {
        "who": called(subject, language, generator),
        "does": does(scene, item, words, language, said, generator),
        "where": where,
        "rest": rest(scene, item, words, said),
    }
    order = picked(words.orders, generator) if where else words.orders[0]
    return tidied(order.format(**parts))


def worded(seed: int, wording: int) -> tuple[int, str | None]:
    """A seed and a language for a caption of a clip; None leaves it to the seed."""
    if wording == 0:
        return seed, None
    return seed + wording * 10**10, LANGUAGES[(wording - 1) % len(LANGUAGES)]


def drawn_language(generator: torch.Generator) -> str:
    """A language by its share."""
    return list(SHARES)[
        int(torch.multinomial(torch.tensor(list(SHARES.values())), 1, generator=generator))
    ]


def picked(values: tuple[str, ...], generator: torch.Generator) -> str:
    """One of some values, all alike."""
    return values[int(torch.randint(len(values), (), generator=generator))]


def tidied(sentence: str) -> str:
    """Single spaces, none before a comma, none left at an end."""
    return " ".join(sentence.replace(" ,", ",").split()).strip(" ,")


def called(subject: Subject, language: str, generator: torch.Generator) -> str:
    """Unicode's name, or as often one that people would type."""
    names = everyday_names().get(subject.key, {}).get(language, ())
    if names and float(torch.rand((), generator=generator)) < EVERYDAY:
        return picked(names, generator)
    return who(subject, language)


def who(subject: Subject, language: str) -> str:
    """A name with its indefinite article, where that is known."""
    name = subject.names.get(language) or subject.names["en"]
    article = (
        english_article(name) if language == "en" else foreign_article(subject, name, language)
    )
    return f"{article} {name}".replace("' ", "'") if article else name


def english_article(name: str) -> str:
    """The name with "a" or "an", or without where it can't be counted."""
    if name in UNCOUNTED:
        return ""
    return (
        "an" if name[0].lower() in "aeiou" and not name.lower().startswith(("uni", "euro")) else "a"
    )


def foreign_article(subject: Subject, name: str, language: str) -> str:
    """Toys alone: their nouns are few enough to know."""
    if subject.kind != "toy":
        return ""
    noun = name.split()[-1 if language == "de" and name[0].islower() else 0]
    feminine = noun in FEMININE[language]
    match language:
        case "it":
            if feminine:
                return "un'" if noun[0] in "aeiou" else "una"
            return "uno" if noun.startswith(("sq", "st", "sc", "z", "ps")) else "un"
        case "es":
            return "una" if feminine else "un"
        case "fr":
            return "une" if feminine else "un"
    if name[0].islower():  # an adjective that carries the gender itself
        return "ein"
    return "eine" if feminine else "ein"


def does(
    scene: Scene,
    item: Item,
    words: Words,
    language: str,
    said: dict[str, bool],
    generator: torch.Generator,
) -> str:
    """What it does, and where to."""
    if not said["action"]:
        return ""
    if scene.action == "own":
        return item.motion.get(language, "")
    if scene.action in words.moves:
        return picked(words.moves[scene.action], generator)
    verb = item.motion[language]
    return f"{verb} {words.ways[scene.way]}" if scene.way and said["way"] else verb


def ground_phrases(words: Words, ground: str, language: str) -> tuple[str, ...]:
    """Ways to say a ground in a language."""
    if ground in words.grounds:
        return words.grounds[ground]
    if " to " in ground:
        colours = GERMAN_COLOURS if language == "de" else words.colours
        first, last = (colours[colour] for colour in ground.split(" to "))
        return (words.gradient.format(first=first, last=last),)
    return tuple(phrase.format(colour=words.colours[ground]) for phrase in words.plain)


def rest(scene: Scene, item: Item, words: Words, said: dict[str, bool]) -> str:
    """Style, view, effect and camera, each after a comma or a space."""
    parts = ""
    if said["style"]:
        parts += f" {words.styles[scene.style]}"
    if said["view"] and item.view in words.views:
        parts += f", {words.views[item.view]}"
    if said["effect"] and scene.effect:
        parts += f" {words.effects[scene.effect]}"
    if (
        said["camera"]
        and scene.camera in words.cameras
        and (scene.camera != "follow" or scene.ground in SCENES)
    ):
        parts += f", {words.cameras[scene.camera]}"
    return parts
