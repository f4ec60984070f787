"""The queue over HTTP: tasks as JSON in, events and results out."""
