# SPDX-License-Identifier: GPL-2.0-or-later
"""gdb commands for a guest's kernel: type "vguest help" after loading.

run-vm --gdb starts gdb with this and with the kernel's symbol file.
"""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from vadisgdb import guest  # noqa: E402  (needs the path above)

guest.register()
