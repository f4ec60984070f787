"""Prompts that ask for an object to be removed, in the five languages of the bundled weights.

To a net, "remove the cat" shows a cat. What such a sentence wants in a hole is what it gets without
a prompt (`completion.py`). All our choice.
"""

from __future__ import annotations

import re

from openlumiere.models.knows import fold_text
from openlumiere.tasks import Inpaint, Mend, Task

REMOVE = (  # how such a sentence begins, without accents
    r"remove|erase|delete|get rid of|take (?:out|away)|without",
    r"rimuov(?:i|ere)|togli(?:ere)?|cancella(?:re)?|elimina(?:re)?|senza",
    r"quita(?:r)?|borra(?:r)?|elimina(?:r)?|sin",
    r"supprime[rz]?|enleve[rz]?|efface[rz]?|retire[rz]?|sans",
    r"entfern(?:e|en)?|losch(?:e|en)?|ohne",
)
REMOVED = r"(?:entfernen|loschen|weg)$"  # how a German one ends
POLITE = r"(?:please|per favore|por favor|s'il (?:vous|te) plait|bitte),? "
ADD = (  # it asks for something in the same place, too
    r"add|put|draw|paint|insert|replace|show|make",
    r"aggiung\w+|metti|mettere|disegna\w*|sostitui\w+|mostra\w*",
    r"anad\w+|pon|poner|dibuja\w*|reemplaza\w*|sustituye|muestra\w*",
    r"ajoute\w*|mets|mettre|dessine\w*|remplace\w*|montre\w*",
    r"fuge|setze?|male|zeichne|ersetze\w*|zeige?",
)


def is_removal(task: Task) -> bool:
    """Whether a task has a hole, and a prompt that asks for nothing in it."""
    return isinstance(task, Inpaint | Mend) and removes(task.prompt)


def removes(prompt: str) -> bool:
    """Whether a prompt asks for nothing but that something goes: "remove the cat"."""
    text = fold_text(prompt).rstrip(".!")
    begins = re.match(rf"(?:{POLITE})?(?:{'|'.join(REMOVE)})\b", text)
    if not (begins or re.search(rf"\b{REMOVED}", text)):
        return False
    return not re.search(rf"\b(?:{'|'.join(ADD)})\b", text)
