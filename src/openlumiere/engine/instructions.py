"""Prompts of an edit that say what to do instead of what to show, in the five languages of the
bundled weights: "remove the cat", "replace the cat with a dog", "put a hat there".

To a net, "remove the cat" shows a cat. What such a sentence wants in a hole is what it gets without
a prompt (`completion.py`); and of "replace the cat with a dog" a net is shown "a dog". All our
choice.
"""

from __future__ import annotations

import re
from typing import TypeVar, cast

from openlumiere.models.knows import fold_text
from openlumiere.tasks import Inpaint, Mend, Task

T = TypeVar("T", bound=Task)
REMOVE = (  # how a sentence begins that asks for something to go, without accents
    r"remove|erase|delete|get rid of|take (?:out|away)|without",
    r"rimuov(?:i|ere)|togli(?:ere)?|cancella(?:re)?|elimina(?:re)?|senza",
    r"quita(?:r)?|borra(?:r)?|elimina(?:r)?|sin",
    r"supprime[rz]?|enleve[rz]?|efface[rz]?|retire[rz]?|sans",
    r"entfern(?:e|en)?|losch(?:e|en)?|ohne",
)
REMOVED = r"(?:entfernen|loschen|weg)$"  # how a German one ends
POLITE = r"(?:please|per favore|por favor|s['’]il (?:vous|te) pla[iî]t|bitte),? "
ADD = (  # it asks for something in the same place, too
    r"add|put|draw|paint|insert|replace|show|make",
    r"aggiung\w+|metti|mettere|disegna\w*|sostitui\w+|mostra\w*",
    r"anad\w+|pon|poner|dibuja\w*|reemplaza\w*|sustituye|muestra\w*",
    r"ajoute\w*|mets|mettre|dessine\w*|remplace\w*|montre\w*",
    r"fuge|setze?|male|zeichne|ersetze\w*|zeige?",
)
REPLACE = (  # for what something is exchanged, as written
    r"(?:replace|swap|exchange|substitute) .+? (?:with|by|for) (?P<new>.+)",
    r"(?:turn|change|transform|make) .+? into (?P<new>.+)",
    r"(?:sostitui(?:sci|re)|rimpiazza(?:re)?|cambia(?:re)?) .+? con (?P<new>.+)",
    r"trasforma(?:re)? .+? in (?P<new>.+)",
    r"(?:reemplazar?|sustitu(?:ye|ir)|cambiar?) .+? (?:por|con) (?P<new>.+)",
    r"(?:convi?erte|convertir|transformar?) .+? en (?P<new>.+)",
    r"(?:remplace[rz]?|[ée]change[rz]?) .+? (?:par|contre) (?P<new>.+)",
    r"(?:transforme[rz]?|change[rz]?) .+? en (?P<new>.+)",
    r"(?:ersetzen?|tauschen?) .+? (?:durch|gegen) (?P<new>.+)",
    r"verwand(?:le|eln) .+? in (?P<new>.+)",
    r"mache? aus .+? (?P<new>eine?[nms]? .+)",
    r".+ durch (?P<new>.+) ersetzen",
)
PUT = (  # what is put there; its article tells "place the hat" from "place de la Concorde"
    r"(?:add|put|place|insert|draw|paint|show) (?P<new>(?:an?|the|some|two|three) .+)",
    r"(?:aggiung(?:i|ere)|mett(?:i|ere)|inseri(?:sci|re)|disegnar?e?) (?P<new>(?:un[oa]?|due) .+)",
    r"(?:a[ñn]ad(?:e|ir)|agregar?|pon(?:er)?|insertar?|dibujar?) (?P<new>(?:una?|unos|dos) .+)",
    r"(?:ajoute[rz]?|mets|mett(?:ez|re)|dessine[rz]?) (?P<new>(?:une?|des|deux) .+)",
    r"(?:f[üu]ge|setze?|male?|zeichne) (?P<new>(?:eine?[nms]?|zwei) .+)",
)
AND = r"(?:,|;|and|then|e|poi|y|luego|et|puis|und|dann)"
THERE = (  # how such sentences end, which is no part of what is shown
    r"(?:over )?there|here|instead|in (?:its|their|his|her) place",
    r"l[iì]|qui|l[aà]|invece|al (?:suo|loro) posto",
    r"ah[ií]|all[ií]|aqu[ií]|en su lugar",
    r"l[àa]|ici|[àa] (?:sa|leur) place",
    r"hinzu|ein|dort(?:hin)?|hier(?:hin)?|hin|stattdessen|an (?:seine|ihre|deren) Stelle",
)


def instructed(task: T) -> T:
    """A task with what its prompt wants to be shown, where it has a hole; others as they are."""
    if isinstance(task, Inpaint | Mend):
        return cast("T", task.model_copy(update={"prompt": wanted(task.prompt)}))
    return task


def wanted(prompt: str) -> str:
    """What a prompt wants to be shown: nothing where something is only to go, what takes its place
    where it is exchanged, else the prompt.
    """
    return "" if removes(prompt) else put_in(prompt) or prompt


def removes(prompt: str) -> bool:
    """Whether a prompt asks for nothing but that something goes: "remove the cat"."""
    text = fold_text(prompt).rstrip(".!")
    if not (begins_with_removal(text) or re.search(rf"\b{REMOVED}", text)):
        return False
    return not re.search(rf"\b(?:{'|'.join(ADD)})\b", text)


def begins_with_removal(folded: str) -> bool:
    """Whether a sentence begins by asking for something to go."""
    return bool(re.match(rf"(?:{POLITE})?(?:{'|'.join(REMOVE)})\b", folded))


def put_in(prompt: str) -> str:
    """What is to be put in the place of something; empty where no such thing is asked for."""
    text = prompt.strip().rstrip(".!")
    before = rf"(?:{POLITE})?"
    if begins_with_removal(fold_text(text)):
        before = rf"(?:{before}|.+?\s*{AND}\s+)"
    found = (matched(before + order, text) for order in (*REPLACE, *PUT))
    return next(filter(None, found), "")


def matched(pattern: str, text: str) -> str:
    """What is new in a whole sentence of a pattern, without where it is put."""
    match = re.fullmatch(pattern, text, re.IGNORECASE)
    if match is None:
        return ""
    return re.sub(rf"(?:,? (?:{'|'.join(THERE)}))+$", "", match["new"], flags=re.IGNORECASE)
