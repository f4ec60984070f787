"""openlumiere's pipeline for diffusers, as a custom pipeline:

DiffusionPipeline.from_pretrained(FOLDER, custom_pipeline=THIS_FILE, trust_remote_code=True)
"""

from openlumiere.engine.base import LumierePipeline

__all__ = ["LumierePipeline"]
