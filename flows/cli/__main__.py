"""`python -m flows.cli`: the `diptych` command, from a checkout."""

import sys

from flows.cli.main import main

sys.exit(main())
