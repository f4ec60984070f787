"""Jobs that wait for a worker: on the disk, so that no kill loses one or makes one twice.

Nothing here imports torch until a worker runs.
"""

from openlumiere.apps.queue.job import STATES, Job, Written
from openlumiere.apps.queue.queue import Queue, queue_folder
from openlumiere.apps.queue.worker import Worker

__all__ = ["STATES", "Job", "Queue", "Worker", "Written", "queue_folder"]
