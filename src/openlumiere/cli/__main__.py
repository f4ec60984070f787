"""`python -m openlumiere.cli VERB ...`, as launchers of several processes want it."""

import sys

from openlumiere.cli import main

sys.exit(main())
