"""What can be asked, as values: one frozen model a task, its parts, and the record of a made clip.

Nothing here imports torch, so that the command answers at once.
"""

from openlumiere.tasks.kinds import (
    KINDS,
    Animate,
    AnyTask,
    Cinemagraph,
    Generate,
    Image,
    Inpaint,
    Keyframe,
    LearnStyle,
    Mend,
    Outpaint,
    Restyle,
    Styling,
    Task,
    Upscale,
    read_task,
    schema,
)
from openlumiere.tasks.media import Media
from openlumiere.tasks.record import Machine, Record, read_record
from openlumiere.tasks.region import Region
from openlumiere.tasks.values import Keep, Learning, Length, Sampling

__all__ = [
    "KINDS",
    "Animate",
    "AnyTask",
    "Cinemagraph",
    "Generate",
    "Image",
    "Inpaint",
    "Keep",
    "Keyframe",
    "LearnStyle",
    "Learning",
    "Length",
    "Machine",
    "Media",
    "Mend",
    "Outpaint",
    "Record",
    "Region",
    "Restyle",
    "Sampling",
    "Styling",
    "Task",
    "Upscale",
    "read_record",
    "read_task",
    "schema",
]
