"""Which of our files a call enters."""

import os
import sys
from pathlib import Path

import openlumiere

HOUSE = os.fspath(Path(openlumiere.__file__).parent)


def files_entered(act):
    """Our files of which a function is entered by a call, constructors left out."""
    found = set()

    def note(frame, event, _argument):
        code = frame.f_code
        constructor = code.co_name in ("__init__", "__post_init__", "__new__", "<module>")
        if event == "call" and code.co_filename.startswith(HOUSE) and not constructor:
            found.add(os.path.relpath(code.co_filename, HOUSE))

    sys.setprofile(note)
    try:
        act()
    finally:
        sys.setprofile(None)
    return found
