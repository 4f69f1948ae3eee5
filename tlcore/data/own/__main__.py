"""The process that reads an upload."""

import sys

from tlcore.data.own.apart import main

if __name__ == "__main__":
    sys.exit(main())
