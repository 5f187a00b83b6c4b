# SPDX-License-Identifier: GPL-2.0-or-later
"""gdb commands for the QEMU process: type "vadis help" after loading.

gdb -x scripts/gdb/vadis-gdb.py --args build/qemu-system-x86_64 ...
gdb -x scripts/gdb/vadis-gdb.py build/qemu-system-x86_64 -c CORE
"""

import os
import sys

import gdb

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from vadisgdb import commands  # noqa: E402  (needs the path above)

commands.register()
# QEMU wakes its vCPU threads with this signal all the time.
gdb.execute('handle SIGUSR1 pass nostop noprint', to_string=True)
