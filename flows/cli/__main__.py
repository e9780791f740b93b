"""`python -m flows.cli`: the `diptych` command, from a checkout."""

import sys

from flows.cli.app import main

sys.exit(main())
