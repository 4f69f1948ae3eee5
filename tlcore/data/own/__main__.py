"""The process that reads an upload."""

import sys

from tlcore.data.own.apart import main

sys.exit(main())
