"""`python -m openlumiere.apps.cli VERB ...`, as launchers of several processes want it."""

import sys

from openlumiere.apps.cli import main

sys.exit(main())
