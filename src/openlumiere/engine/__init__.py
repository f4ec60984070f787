"""From a task to a clip: `lumiere.py` runs a task, `plan.py` says what it asks of the net."""
