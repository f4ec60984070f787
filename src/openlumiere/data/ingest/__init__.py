"""Your own footage: a folder of any videos to shards of clips that a model trains on."""

from openlumiere.data.ingest.config import IngestConfig, Score
from openlumiere.data.ingest.run import Report, ingest
from openlumiere.data.ingest.shardset import Shards
from openlumiere.data.ingest.workers import Cluster, Machine

__all__ = ["Cluster", "IngestConfig", "Machine", "Report", "Score", "Shards", "ingest"]
