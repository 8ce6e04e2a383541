"""`python -m halo`, which also serves `accelerate launch -m halo` and `torchrun -m halo`."""

import sys

from halo.cli.main import main

sys.exit(main())
