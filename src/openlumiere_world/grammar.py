"""The words of captions in English, Italian, Spanish, French and German: tables only.

Verbs are third person: `one` for a single subject, `many` for several. In a pair {b} is the second
subject.
"""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Verbs:
    """What one subject does, and several."""

    one: tuple[str, ...]
    many: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Noun:
    """`gender` m, f or n where the language has it."""

    one: str
    many: str
    gender: str = ""


@dataclass(frozen=True, kw_only=True)
class Language:
    """`orders`: sentences over {subject} {clause} {behind}; `unmoved_orders` where nothing is said
    of motion.
    """

    orders: tuple[str, ...]
    unmoved_orders: tuple[str, ...]
    picture_orders: tuple[str, ...]
    motions: dict[str, Verbs]
    speeds: dict[str, tuple[str, ...]]
    turns: dict[int, str]
    ways: dict[str, str]
    places: dict[str, str]
    sizes: dict[str, str]
    styles: dict[str, str]
    cameras: dict[str, tuple[str, ...]]
    effects: dict[str, tuple[str, ...]]
    scenes: dict[str, tuple[str, ...]]
    plain: tuple[str, ...]  # over {colour}
    gradient: str  # over {first}, {last}
    colours: dict[str, str]
    colour_names: dict[str, str]  # where the noun differs from the adjective
    numbers: dict[int, str]
    both: str  # over {a}, {b}
    beside: str  # over {a}, {b}
    own: str  # over {motion}: what an animated subject does besides
    loop: tuple[str, ...]


ENGLISH = Language(
    orders=(
        "{subject} {clause} {behind}",
        "{behind}, {subject} {clause}",
        "{subject} {clause}, {behind}",
    ),
    unmoved_orders=("{subject} {behind}", "{behind}, {subject}"),
    picture_orders=("{subject} {behind}", "{behind}, {subject}", "a picture of {subject} {behind}"),
    motions={
        "stay": Verbs(
            one=("stays still", "does not move", "rests in place"),
            many=("stay still", "rest in place"),
        ),
        "left": Verbs(
            one=("moves left", "moves to the left", "goes from right to left"),
            many=("move left", "move to the left"),
        ),
        "right": Verbs(
            one=("moves right", "moves to the right", "goes from left to right"),
            many=("move right", "move to the right"),
        ),
        "up": Verbs(one=("moves up", "rises", "goes upwards"), many=("move up", "rise")),
        "down": Verbs(one=("moves down", "sinks", "goes downwards"), many=("move down", "sink")),
        "towards": Verbs(
            one=("comes towards the camera", "comes closer", "approaches and grows larger")
        ),
        "away": Verbs(
            one=(
                "moves away from the camera",
                "goes away into the distance",
                "moves away, getting smaller",
            )
        ),
        "spin": Verbs(one=("spins", "spins around", "rotates"), many=("spin", "rotate")),
        "swing": Verbs(
            one=("swings from side to side", "swings like a pendulum"),
            many=("swing from side to side",),
        ),
        "bounce": Verbs(
            one=("bounces", "bounces up and down"), many=("bounce", "bounce up and down")
        ),
        "jump": Verbs(one=("jumps", "jumps up and lands again", "hops"), many=("jump", "hop")),
        "float": Verbs(one=("floats", "floats in place", "hovers"), many=("float", "hover")),
        "shake": Verbs(one=("shakes", "trembles"), many=("shake", "tremble")),
        "appear": Verbs(one=("appears", "fades in", "slowly becomes visible")),
        "fade": Verbs(one=("fades away", "disappears", "fades out")),
        "circle": Verbs(one=("moves in a circle", "goes round in a circle")),
        "orbit": Verbs(one=("orbits {b}", "circles around {b}", "goes round {b}")),
        "chase": Verbs(one=("chases {b}", "runs after {b}")),
        "meet": Verbs(one=("and {b} meet in the middle", "and {b} come together")),
    },
    speeds={"slow": ("slowly",), "fast": ("quickly", "fast")},
    turns={1: "clockwise", -1: "counterclockwise"},
    ways={"left": "to the left", "right": "to the right"},
    places={
        "left": "on the left",
        "right": "on the right",
        "top": "at the top",
        "bottom": "at the bottom",
        "top left": "in the top left corner",
        "top right": "in the top right corner",
        "bottom left": "in the bottom left corner",
        "bottom right": "in the bottom right corner",
        "centre": "in the centre",
    },
    sizes={"small": "small in the frame", "large": "large in the frame"},
    styles={
        "3d": "in 3D style",
        "flat": "in flat style",
        "gradient": "in soft gradient style",
        "noto": "in Noto style",
        "twemoji": "in Twemoji style",
        "emojione": "in Emoji One style",
        "fxemoji": "in Firefox emoji style",
        "openmoji": "as a line drawing",
    },
    cameras={
        "pan left": ("the camera pans left", "camera panning to the left"),
        "pan right": ("the camera pans right", "camera panning to the right"),
        "pan up": ("the camera pans up", "camera tilting upwards"),
        "pan down": ("the camera pans down", "camera tilting downwards"),
        "zoom in": ("the camera zooms in", "zooming in"),
        "zoom out": ("the camera zooms out", "zooming out"),
    },
    effects={
        "rain": ("in the rain", "while it rains"),
        "snow": ("while snowflakes fall", "in falling snow"),
        "confetti": ("as confetti falls", "under a shower of confetti"),
        "bubbles": ("with bubbles rising", "among rising bubbles"),
    },
    scenes={
        "day sky": ("against a blue sky with clouds", "in the daytime sky"),
        "sunset sky": ("against a sunset sky", "at sunset"),
        "night sky": ("against a night sky with a moon", "at night under the moon"),
        "meadow": ("in a green meadow", "on a meadow with flowers"),
        "sea": ("at sea", "in front of the sea"),
        "snow": ("in a snowy landscape", "in the snow among fir trees"),
        "city": ("in a city street", "in front of city buildings"),
        "room": ("in a room with a window", "inside a room"),
        "stars": ("in space among the stars", "in front of a starry sky"),
    },
    plain=("on a {colour} background", "on plain {colour}", "in front of a {colour} background"),
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
    colour_names={},
    numbers={2: "two", 3: "three", 4: "four"},
    both="{a} and {b}",
    beside="{a} on the left and {b} on the right",
    own="it {motion}",
    loop=("in a seamless loop", "looping"),
)

ITALIAN = Language(
    orders=(
        "{subject} {clause} {behind}",
        "{behind}, {subject} {clause}",
        "{subject} {clause}, {behind}",
    ),
    unmoved_orders=("{subject} {behind}", "{behind}, {subject}"),
    picture_orders=("{subject} {behind}", "{behind}, {subject}", "un'immagine: {subject} {behind}"),
    motions={
        "stay": Verbs(
            one=("sta fermo sul posto", "non si muove", "resta sul posto"),
            many=("non si muovono", "restano sul posto"),
        ),
        "left": Verbs(
            one=("si muove verso sinistra", "va a sinistra", "va da destra a sinistra"),
            many=("si muovono verso sinistra", "vanno a sinistra"),
        ),
        "right": Verbs(
            one=("si muove verso destra", "va a destra", "va da sinistra a destra"),
            many=("si muovono verso destra", "vanno a destra"),
        ),
        "up": Verbs(
            one=("si muove verso l'alto", "sale", "va in alto"),
            many=("si muovono verso l'alto", "salgono"),
        ),
        "down": Verbs(
            one=("si muove verso il basso", "scende", "va in basso"),
            many=("si muovono verso il basso", "scendono"),
        ),
        "towards": Verbs(
            one=("si avvicina", "viene verso la camera", "si avvicina e diventa più grande")
        ),
        "away": Verbs(
            one=("si allontana", "si allontana dalla camera", "si allontana e diventa più piccolo")
        ),
        "spin": Verbs(one=("gira su sé stesso", "ruota"), many=("girano su sé stessi", "ruotano")),
        "swing": Verbs(
            one=("oscilla da un lato all'altro", "dondola come un pendolo"),
            many=("oscillano da un lato all'altro",),
        ),
        "bounce": Verbs(
            one=("rimbalza", "rimbalza su e giù"), many=("rimbalzano", "rimbalzano su e giù")
        ),
        "jump": Verbs(one=("salta", "fa dei salti"), many=("saltano", "fanno dei salti")),
        "float": Verbs(one=("fluttua", "fluttua sul posto"), many=("fluttuano",)),
        "shake": Verbs(one=("trema", "si scuote"), many=("tremano", "si scuotono")),
        "appear": Verbs(one=("appare", "compare a poco a poco")),
        "fade": Verbs(one=("svanisce", "scompare a poco a poco")),
        "circle": Verbs(one=("si muove in cerchio", "gira in tondo")),
        "orbit": Verbs(one=("gira attorno a {b}", "orbita attorno a {b}")),
        "chase": Verbs(one=("insegue {b}", "corre dietro a {b}")),
        "meet": Verbs(one=("e {b} si incontrano al centro", "e {b} si vengono incontro")),
    },
    speeds={"slow": ("lentamente", "piano"), "fast": ("velocemente", "in fretta")},
    turns={1: "in senso orario", -1: "in senso antiorario"},
    ways={"left": "verso sinistra", "right": "verso destra"},
    places={
        "left": "a sinistra",
        "right": "a destra",
        "top": "in alto",
        "bottom": "in basso",
        "top left": "in alto a sinistra",
        "top right": "in alto a destra",
        "bottom left": "in basso a sinistra",
        "bottom right": "in basso a destra",
        "centre": "al centro",
    },
    sizes={"small": "piccolo nel quadro", "large": "grande nel quadro"},
    styles={
        "3d": "in stile 3D",
        "flat": "in stile piatto",
        "gradient": "in stile sfumato",
        "noto": "in stile Noto",
        "twemoji": "in stile Twemoji",
        "emojione": "in stile Emoji One",
        "fxemoji": "in stile emoji Firefox",
        "openmoji": "come disegno al tratto",
    },
    cameras={
        "pan left": ("la camera si sposta a sinistra", "panoramica verso sinistra"),
        "pan right": ("la camera si sposta a destra", "panoramica verso destra"),
        "pan up": ("la camera si sposta in alto", "panoramica verso l'alto"),
        "pan down": ("la camera si sposta in basso", "panoramica verso il basso"),
        "zoom in": ("la camera zooma in avanti", "zoom in avanti"),
        "zoom out": ("la camera zooma indietro", "zoom indietro"),
    },
    effects={
        "rain": ("sotto la pioggia", "mentre piove"),
        "snow": ("mentre nevica", "mentre cadono fiocchi di neve"),
        "confetti": ("sotto una pioggia di coriandoli", "mentre cadono coriandoli"),
        "bubbles": ("tra bolle che salgono", "con delle bolle che salgono"),
    },
    scenes={
        "day sky": ("nel cielo di giorno", "davanti a un cielo azzurro con nuvole"),
        "sunset sky": ("al tramonto", "davanti a un cielo al tramonto"),
        "night sky": ("nel cielo di notte con la luna", "di notte sotto la luna"),
        "meadow": ("su un prato verde", "in un prato fiorito"),
        "sea": ("in mare", "davanti al mare"),
        "snow": ("in un paesaggio innevato", "nella neve tra gli abeti"),
        "city": ("in città", "davanti ai palazzi di una città"),
        "room": ("in una stanza", "in una stanza con una finestra"),
        "stars": ("nello spazio tra le stelle", "davanti a un cielo stellato"),
    },
    plain=("su sfondo {colour}", "su uno sfondo {colour}", "davanti a uno sfondo {colour}"),
    gradient="su uno sfondo sfumato, {first} poi {last}",
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
    colour_names={},
    numbers={2: "due", 3: "tre", 4: "quattro"},
    both="{a} e {b}",
    beside="{a} a sinistra e {b} a destra",
    own="intanto {motion}",
    loop=("in un ciclo continuo", "in loop"),
)

SPANISH = Language(
    orders=(
        "{subject} {clause} {behind}",
        "{behind}, {subject} {clause}",
        "{subject} {clause}, {behind}",
    ),
    unmoved_orders=("{subject} {behind}", "{behind}, {subject}"),
    picture_orders=("{subject} {behind}", "{behind}, {subject}", "una imagen: {subject} {behind}"),
    motions={
        "stay": Verbs(
            one=("no se mueve", "permanece en su sitio"),
            many=("no se mueven", "permanecen en su sitio"),
        ),
        "left": Verbs(
            one=("se mueve hacia la izquierda", "va de derecha a izquierda"),
            many=("se mueven hacia la izquierda",),
        ),
        "right": Verbs(
            one=("se mueve hacia la derecha", "va de izquierda a derecha"),
            many=("se mueven hacia la derecha",),
        ),
        "up": Verbs(
            one=("se mueve hacia arriba", "sube"), many=("se mueven hacia arriba", "suben")
        ),
        "down": Verbs(
            one=("se mueve hacia abajo", "baja"), many=("se mueven hacia abajo", "bajan")
        ),
        "towards": Verbs(one=("se acerca", "se acerca a la cámara")),
        "away": Verbs(one=("se aleja", "se aleja de la cámara")),
        "spin": Verbs(
            one=("gira sobre sí mismo", "da vueltas sobre sí mismo"),
            many=("giran sobre sí mismos",),
        ),
        "swing": Verbs(
            one=("se balancea de un lado a otro", "oscila como un péndulo"),
            many=("se balancean de un lado a otro",),
        ),
        "bounce": Verbs(
            one=("rebota", "rebota arriba y abajo"), many=("rebotan", "rebotan arriba y abajo")
        ),
        "jump": Verbs(one=("salta", "da saltos"), many=("saltan", "dan saltos")),
        "float": Verbs(one=("flota", "flota en su sitio"), many=("flotan",)),
        "shake": Verbs(one=("tiembla", "se sacude"), many=("tiemblan", "se sacuden")),
        "appear": Verbs(one=("aparece", "aparece poco a poco")),
        "fade": Verbs(one=("se desvanece", "desaparece poco a poco")),
        "circle": Verbs(one=("se mueve en círculo", "da vueltas en círculo")),
        "orbit": Verbs(one=("gira alrededor de {b}", "orbita alrededor de {b}")),
        "chase": Verbs(one=("persigue a {b}", "corre detrás de {b}")),
        "meet": Verbs(one=("y {b} se encuentran en el centro", "y {b} se juntan")),
    },
    speeds={"slow": ("lentamente", "despacio"), "fast": ("rápidamente", "deprisa")},
    turns={1: "en sentido horario", -1: "en sentido antihorario"},
    ways={"left": "hacia la izquierda", "right": "hacia la derecha"},
    places={
        "left": "a la izquierda",
        "right": "a la derecha",
        "top": "arriba",
        "bottom": "abajo",
        "top left": "arriba a la izquierda",
        "top right": "arriba a la derecha",
        "bottom left": "abajo a la izquierda",
        "bottom right": "abajo a la derecha",
        "centre": "en el centro",
    },
    sizes={"small": "en tamaño pequeño", "large": "en tamaño grande"},
    styles={
        "3d": "en estilo 3D",
        "flat": "en estilo plano",
        "gradient": "en estilo degradado",
        "noto": "en estilo Noto",
        "twemoji": "en estilo Twemoji",
        "emojione": "en estilo Emoji One",
        "fxemoji": "en estilo emoji de Firefox",
        "openmoji": "como dibujo de líneas",
    },
    cameras={
        "pan left": ("la cámara se desplaza a la izquierda",),
        "pan right": ("la cámara se desplaza a la derecha",),
        "pan up": ("la cámara se desplaza hacia arriba",),
        "pan down": ("la cámara se desplaza hacia abajo",),
        "zoom in": ("la cámara se acerca con zoom", "zoom de acercamiento"),
        "zoom out": ("la cámara se aleja con zoom", "zoom de alejamiento"),
    },
    effects={
        "rain": ("bajo la lluvia", "mientras llueve"),
        "snow": ("mientras nieva", "mientras caen copos de nieve"),
        "confetti": ("bajo una lluvia de confeti", "mientras cae confeti"),
        "bubbles": ("entre burbujas que suben", "con burbujas que suben"),
    },
    scenes={
        "day sky": ("en el cielo de día", "ante un cielo azul con nubes"),
        "sunset sky": ("al atardecer", "ante un cielo al atardecer"),
        "night sky": ("de noche bajo la luna", "ante un cielo nocturno con luna"),
        "meadow": ("en un prado verde", "en un prado con flores"),
        "sea": ("en el mar", "ante el mar"),
        "snow": ("en un paisaje nevado", "en la nieve entre abetos"),
        "city": ("en la ciudad", "ante los edificios de una ciudad"),
        "room": ("en una habitación", "en una habitación con ventana"),
        "stars": ("en el espacio entre las estrellas", "ante un cielo estrellado"),
    },
    plain=("sobre fondo {colour}", "sobre un fondo {colour}", "ante un fondo {colour}"),
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
    colour_names={},
    numbers={2: "dos", 3: "tres", 4: "cuatro"},
    both="{a} y {b}",
    beside="{a} a la izquierda y {b} a la derecha",
    own="",
    loop=("en bucle continuo", "en bucle"),
)

FRENCH = Language(
    orders=(
        "{subject} {clause} {behind}",
        "{behind}, {subject} {clause}",
        "{subject} {clause}, {behind}",
    ),
    unmoved_orders=("{subject} {behind}", "{behind}, {subject}"),
    picture_orders=("{subject} {behind}", "{behind}, {subject}", "une image : {subject} {behind}"),
    motions={
        "stay": Verbs(
            one=("ne bouge pas", "reste sur place"), many=("ne bougent pas", "restent sur place")
        ),
        "left": Verbs(
            one=("se déplace vers la gauche", "va de droite à gauche"),
            many=("se déplacent vers la gauche",),
        ),
        "right": Verbs(
            one=("se déplace vers la droite", "va de gauche à droite"),
            many=("se déplacent vers la droite",),
        ),
        "up": Verbs(
            one=("se déplace vers le haut", "monte"), many=("se déplacent vers le haut", "montent")
        ),
        "down": Verbs(
            one=("se déplace vers le bas", "descend"),
            many=("se déplacent vers le bas", "descendent"),
        ),
        "towards": Verbs(one=("s'approche", "s'approche de la caméra")),
        "away": Verbs(one=("s'éloigne", "s'éloigne de la caméra")),
        "spin": Verbs(
            one=("tourne sur soi-même", "pivote sur place"),
            many=("tournent sur place", "pivotent sur place"),
        ),
        "swing": Verbs(
            one=("se balance d'un côté à l'autre", "oscille comme un pendule"),
            many=("se balancent d'un côté à l'autre",),
        ),
        "bounce": Verbs(
            one=("rebondit", "rebondit de haut en bas"),
            many=("rebondissent", "rebondissent de haut en bas"),
        ),
        "jump": Verbs(one=("saute", "fait des bonds"), many=("sautent", "font des bonds")),
        "float": Verbs(one=("flotte", "flotte sur place"), many=("flottent",)),
        "shake": Verbs(one=("tremble", "vibre"), many=("tremblent", "vibrent")),
        "appear": Verbs(one=("apparaît", "apparaît peu à peu")),
        "fade": Verbs(one=("disparaît peu à peu", "s'efface")),
        "circle": Verbs(one=("se déplace en cercle", "tourne en rond")),
        "orbit": Verbs(one=("tourne autour de {b}", "est en orbite autour de {b}")),
        "chase": Verbs(one=("poursuit {b}", "court après {b}")),
        "meet": Verbs(one=("et {b} se rencontrent au milieu", "et {b} se rejoignent")),
    },
    speeds={"slow": ("lentement",), "fast": ("rapidement", "vite")},
    turns={1: "dans le sens horaire", -1: "dans le sens antihoraire"},
    ways={"left": "vers la gauche", "right": "vers la droite"},
    places={
        "left": "à gauche",
        "right": "à droite",
        "top": "en haut",
        "bottom": "en bas",
        "top left": "en haut à gauche",
        "top right": "en haut à droite",
        "bottom left": "en bas à gauche",
        "bottom right": "en bas à droite",
        "centre": "au centre",
    },
    sizes={"small": "en petit", "large": "en grand"},
    styles={
        "3d": "en style 3D",
        "flat": "en style plat",
        "gradient": "en style dégradé",
        "noto": "en style Noto",
        "twemoji": "en style Twemoji",
        "emojione": "en style Emoji One",
        "fxemoji": "en style emoji Firefox",
        "openmoji": "en dessin au trait",
    },
    cameras={
        "pan left": ("la caméra se déplace vers la gauche", "panoramique à gauche"),
        "pan right": ("la caméra se déplace vers la droite", "panoramique à droite"),
        "pan up": ("la caméra se déplace vers le haut", "panoramique vers le haut"),
        "pan down": ("la caméra se déplace vers le bas", "panoramique vers le bas"),
        "zoom in": ("la caméra fait un zoom avant", "zoom avant"),
        "zoom out": ("la caméra fait un zoom arrière", "zoom arrière"),
    },
    effects={
        "rain": ("sous la pluie", "pendant qu'il pleut"),
        "snow": ("pendant qu'il neige", "sous des flocons de neige"),
        "confetti": ("sous une pluie de confettis", "pendant que des confettis tombent"),
        "bubbles": ("parmi des bulles qui montent", "avec des bulles qui montent"),
    },
    scenes={
        "day sky": ("dans le ciel de jour", "devant un ciel bleu avec des nuages"),
        "sunset sky": ("au coucher du soleil", "devant un ciel au coucher du soleil"),
        "night sky": ("la nuit sous la lune", "devant un ciel nocturne avec la lune"),
        "meadow": ("dans une prairie verte", "dans un pré fleuri"),
        "sea": ("en mer", "devant la mer"),
        "snow": ("dans un paysage enneigé", "dans la neige parmi les sapins"),
        "city": ("en ville", "devant les immeubles d'une ville"),
        "room": ("dans une chambre", "dans une pièce avec une fenêtre"),
        "stars": ("dans l'espace parmi les étoiles", "devant un ciel étoilé"),
    },
    plain=("sur fond {colour}", "sur un fond {colour}", "devant un fond {colour}"),
    gradient="sur un fond en dégradé, {first} puis {last}",
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
    colour_names={},
    numbers={2: "deux", 3: "trois", 4: "quatre"},
    both="{a} et {b}",
    beside="{a} à gauche et {b} à droite",
    own="",
    loop=("en boucle continue", "en boucle"),
)

GERMAN = Language(
    orders=(
        "{subject} {clause} {behind}",
        "{behind}: {subject} {clause}",
        "{subject} {clause}, {behind}",
    ),
    unmoved_orders=("{subject} {behind}", "{behind}: {subject}"),
    picture_orders=("{subject} {behind}", "{behind}: {subject}", "ein Bild: {subject} {behind}"),
    motions={
        "stay": Verbs(
            one=("bewegt sich nicht", "bleibt auf der Stelle"),
            many=("bewegen sich nicht", "bleiben auf der Stelle"),
        ),
        "left": Verbs(
            one=("bewegt sich nach links", "zieht von rechts nach links"),
            many=("bewegen sich nach links",),
        ),
        "right": Verbs(
            one=("bewegt sich nach rechts", "zieht von links nach rechts"),
            many=("bewegen sich nach rechts",),
        ),
        "up": Verbs(
            one=("bewegt sich nach oben", "steigt auf"),
            many=("bewegen sich nach oben", "steigen auf"),
        ),
        "down": Verbs(
            one=("bewegt sich nach unten", "sinkt"), many=("bewegen sich nach unten", "sinken")
        ),
        "towards": Verbs(one=("kommt näher", "kommt auf die Kamera zu")),
        "away": Verbs(one=("entfernt sich", "entfernt sich von der Kamera")),
        "spin": Verbs(one=("dreht sich", "rotiert"), many=("drehen sich", "rotieren")),
        "swing": Verbs(
            one=("schwingt hin und her", "pendelt"), many=("schwingen hin und her", "pendeln")
        ),
        "bounce": Verbs(one=("hüpft auf und ab", "federt auf und ab"), many=("hüpfen auf und ab",)),
        "jump": Verbs(one=("springt", "springt hoch und landet wieder"), many=("springen",)),
        "float": Verbs(one=("schwebt", "schwebt auf der Stelle"), many=("schweben",)),
        "shake": Verbs(one=("zittert", "wackelt"), many=("zittern", "wackeln")),
        "appear": Verbs(one=("erscheint", "wird langsam sichtbar")),
        "fade": Verbs(one=("verblasst", "verschwindet allmählich")),
        "circle": Verbs(one=("bewegt sich im Kreis", "zieht einen Kreis")),
        "orbit": Verbs(one=("kreist um {b}", "umkreist {b}")),
        "chase": Verbs(one=("jagt {b}", "verfolgt {b}")),
        "meet": Verbs(one=("und {b} treffen sich in der Mitte", "und {b} kommen zusammen")),
    },
    speeds={"slow": ("langsam",), "fast": ("schnell",)},
    turns={1: "im Uhrzeigersinn", -1: "gegen den Uhrzeigersinn"},
    ways={"left": "nach links", "right": "nach rechts"},
    places={
        "left": "links",
        "right": "rechts",
        "top": "oben",
        "bottom": "unten",
        "top left": "oben links",
        "top right": "oben rechts",
        "bottom left": "unten links",
        "bottom right": "unten rechts",
        "centre": "in der Mitte",
    },
    sizes={"small": "klein im Bild", "large": "groß im Bild"},
    styles={
        "3d": "im 3D-Stil",
        "flat": "im flachen Stil",
        "gradient": "im Farbverlauf-Stil",
        "noto": "im Noto-Stil",
        "twemoji": "im Twemoji-Stil",
        "emojione": "im Emoji-One-Stil",
        "fxemoji": "im Firefox-Emoji-Stil",
        "openmoji": "als Strichzeichnung",
    },
    cameras={
        "pan left": ("die Kamera schwenkt nach links", "Kameraschwenk nach links"),
        "pan right": ("die Kamera schwenkt nach rechts", "Kameraschwenk nach rechts"),
        "pan up": ("die Kamera schwenkt nach oben", "Kameraschwenk nach oben"),
        "pan down": ("die Kamera schwenkt nach unten", "Kameraschwenk nach unten"),
        "zoom in": ("die Kamera zoomt heran",),
        "zoom out": ("die Kamera zoomt heraus",),
    },
    effects={
        "rain": ("im Regen", "während es regnet"),
        "snow": ("während es schneit", "während Schneeflocken fallen"),
        "confetti": ("während Konfetti fällt", "im Konfettiregen"),
        "bubbles": ("mit aufsteigenden Blasen", "zwischen aufsteigenden Blasen"),
    },
    scenes={
        "day sky": ("am Himmel bei Tag", "vor blauem Himmel mit Wolken"),
        "sunset sky": ("bei Sonnenuntergang", "vor einem Abendhimmel"),
        "night sky": ("nachts unter dem Mond", "vor einem Nachthimmel mit Mond"),
        "meadow": ("auf einer grünen Wiese", "auf einer Blumenwiese"),
        "sea": ("auf dem Meer", "vor dem Meer"),
        "snow": ("in einer verschneiten Landschaft", "im Schnee zwischen Tannen"),
        "city": ("in der Stadt", "vor den Häusern einer Stadt"),
        "room": ("in einem Zimmer", "in einem Zimmer mit Fenster"),
        "stars": ("im Weltraum zwischen den Sternen", "vor einem Sternenhimmel"),
    },
    plain=("vor {colour} Hintergrund", "auf {colour} Hintergrund"),
    gradient="vor einem Farbverlauf von {first} nach {last}",
    colours={
        "red": "rotem",
        "blue": "blauem",
        "green": "grünem",
        "yellow": "gelbem",
        "white": "weißem",
        "black": "schwarzem",
        "orange": "orangefarbenem",
        "purple": "violettem",
        "pink": "rosafarbenem",
        "grey": "grauem",
    },
    colour_names={
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
    },
    numbers={2: "zwei", 3: "drei", 4: "vier"},
    both="{a} und {b}",
    beside="links {a} und rechts {b}",
    own="",
    loop=("in einer nahtlosen Schleife", "in Endlosschleife"),
)

GRAMMARS = {"en": ENGLISH, "it": ITALIAN, "es": SPANISH, "fr": FRENCH, "de": GERMAN}


# Everyday subjects: code points; then per language the noun, its plural and (but for English) its
# gender.
_NOUNS = """
1f408|cat cats|gatto gatti m|gato gatos m|chat chats m|Katze Katzen f
1f408-200d-2b1b|black_cat black_cats|gatto_nero gatti_neri m|gato_negro gatos_negros m|chat_noir chats_noirs m|schwarze_Katze schwarze_Katzen f
1f415|dog dogs|cane cani m|perro perros m|chien chiens m|Hund Hunde m
1f431|cat_face cat_faces|muso_di_gatto musi_di_gatto m|cara_de_gato caras_de_gato f|tête_de_chat têtes_de_chat f|Katzengesicht Katzengesichter n
1f436|dog_face dog_faces|muso_di_cane musi_di_cane m|cara_de_perro caras_de_perro f|tête_de_chien têtes_de_chien f|Hundegesicht Hundegesichter n
1f42d|mouse_face mouse_faces|muso_di_topo musi_di_topo m|cara_de_ratón caras_de_ratón f|tête_de_souris têtes_de_souris f|Mäusegesicht Mäusegesichter n
1f438|frog frogs|rana rane f|rana ranas f|grenouille grenouilles f|Frosch Frösche m
1f427|penguin penguins|pinguino pinguini m|pingüino pingüinos m|pingouin pingouins m|Pinguin Pinguine m
1f98b|butterfly butterflies|farfalla farfalle f|mariposa mariposas f|papillon papillons m|Schmetterling Schmetterlinge m
1f41d|bee bees|ape api f|abeja abejas f|abeille abeilles f|Biene Bienen f
1f422|turtle turtles|tartaruga tartarughe f|tortuga tortugas f|tortue tortues f|Schildkröte Schildkröten f
1f41f|fish fish|pesce pesci m|pez peces m|poisson poissons m|Fisch Fische m
1f42c|dolphin dolphins|delfino delfini m|delfín delfines m|dauphin dauphins m|Delfin Delfine m
1f40e|horse horses|cavallo cavalli m|caballo caballos m|cheval chevaux m|Pferd Pferde n
1f404|cow cows|mucca mucche f|vaca vacas f|vache vaches f|Kuh Kühe f
1f418|elephant elephants|elefante elefanti m|elefante elefantes m|éléphant éléphants m|Elefant Elefanten m
1f989|owl owls|gufo gufi m|búho búhos m|hibou hiboux m|Eule Eulen f
1f986|duck ducks|anatra anatre f|pato patos m|canard canards m|Ente Enten f
1f419|octopus octopuses|polpo polpi m|pulpo pulpos m|pieuvre pieuvres f|Krake Kraken m
1f981|lion lions|leone leoni m|león leones m|lion lions m|Löwe Löwen m
1f34e|red_apple red_apples|mela_rossa mele_rosse f|manzana_roja manzanas_rojas f|pomme_rouge pommes_rouges f|roter_Apfel rote_Äpfel -
1f34c|banana bananas|banana banane f|plátano plátanos m|banane bananes f|Banane Bananen f
1f353|strawberry strawberries|fragola fragole f|fresa fresas f|fraise fraises f|Erdbeere Erdbeeren f
1f349|watermelon watermelons|anguria angurie f|sandía sandías f|pastèque pastèques f|Wassermelone Wassermelonen f
1f355|pizza_slice pizza_slices|fetta_di_pizza fette_di_pizza f|porción_de_pizza porciones_de_pizza f|part_de_pizza parts_de_pizza f|Pizzastück Pizzastücke n
1f369|doughnut doughnuts|ciambella ciambelle f|rosquilla rosquillas f|beignet beignets m|Donut Donuts m
1f382|birthday_cake birthday_cakes|torta_di_compleanno torte_di_compleanno f|tarta_de_cumpleaños tartas_de_cumpleaños f|gâteau_d'anniversaire gâteaux_d'anniversaire m|Geburtstagstorte Geburtstagstorten f
1f680|rocket rockets|razzo razzi m|cohete cohetes m|fusée fusées f|Rakete Raketen f
1f697|car cars|automobile automobili f|coche coches m|voiture voitures f|Auto Autos n
1f68c|bus buses|autobus autobus m|autobús autobuses m|autobus autobus m|Bus Busse m
1f6b2|bicycle bicycles|bicicletta biciclette f|bicicleta bicicletas f|vélo vélos m|Fahrrad Fahrräder n
2708|airplane airplanes|aeroplano aeroplani m|avión aviones m|avion avions m|Flugzeug Flugzeuge n
1f6f8|flying_saucer flying_saucers|disco_volante dischi_volanti m|platillo_volante platillos_volantes m|soucoupe_volante soucoupes_volantes f|fliegende_Untertasse fliegende_Untertassen f
26f5|sailboat sailboats|barca_a_vela barche_a_vela f|velero veleros m|voilier voiliers m|Segelboot Segelboote n
2b50|star stars|stella stelle f|estrella estrellas f|étoile étoiles f|Stern Sterne m
2764|red_heart red_hearts|cuore_rosso cuori_rossi m|corazón_rojo corazones_rojos m|cœur_rouge cœurs_rouges m|rotes_Herz rote_Herzen -
1f388|balloon balloons|palloncino palloncini m|globo globos m|ballon ballons m|Luftballon Luftballons m
26bd|soccer_ball soccer_balls|pallone_da_calcio palloni_da_calcio m|balón_de_fútbol balones_de_fútbol m|ballon_de_football ballons_de_football m|Fußball Fußbälle m
1f3c0|basketball basketballs|pallone_da_basket palloni_da_basket m|balón_de_baloncesto balones_de_baloncesto m|ballon_de_basket ballons_de_basket m|Basketball Basketbälle m
1f514|bell bells|campana campane f|campana campanas f|cloche cloches f|Glocke Glocken f
1f511|key keys|chiave chiavi f|llave llaves f|clé clés f|Schlüssel Schlüssel m
1f381|gift gifts|regalo regali m|regalo regalos m|cadeau cadeaux m|Geschenk Geschenke n
1f33b|sunflower sunflowers|girasole girasoli m|girasol girasoles m|tournesol tournesols m|Sonnenblume Sonnenblumen f
1f339|rose roses|rosa rose f|rosa rosas f|rose roses f|Rose Rosen f
1f335|cactus cactuses|cactus cactus m|cactus cactus m|cactus cactus m|Kaktus Kakteen m
1f332|fir_tree fir_trees|abete abeti m|abeto abetos m|sapin sapins m|Tanne Tannen f
1f916|robot_head robot_heads|testa_di_robot teste_di_robot f|cabeza_de_robot cabezas_de_robot f|tête_de_robot têtes_de_robot f|Roboterkopf Roboterköpfe m
1f47b|ghost ghosts|fantasma fantasmi m|fantasma fantasmas m|fantôme fantômes m|Gespenst Gespenster n
1f451|crown crowns|corona corone f|corona coronas f|couronne couronnes f|Krone Kronen f
2602|umbrella umbrellas|ombrello ombrelli m|paraguas paraguas m|parapluie parapluies m|Regenschirm Regenschirme m
1f3b8|guitar guitars|chitarra chitarre f|guitarra guitarras f|guitare guitares f|Gitarre Gitarren f
"""  # noqa: E501


def _noun(text: str) -> Noun:
    one, many, *gender = (word.replace("_", " ") for word in text.split())
    return Noun(one=one, many=many, gender=gender[0] if gender else "")


NOUNS: dict[str, dict[str, Noun]] = {
    subject: dict(zip(GRAMMARS, map(_noun, words)))
    for subject, *words in (line.split("|") for line in _NOUNS.split("\n") if line)
}
