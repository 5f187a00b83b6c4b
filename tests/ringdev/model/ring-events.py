#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Check ring-events.pml with spin, with all fences and with each left out.

usage: ring-events.py DIRECTORY

With all fences the search is complete and finds nothing, for each way of
asking for notifications. Without one it must find what the fence is there to
prevent: this is what shows that the model can see it. Prints TAP.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time

ASLEEP = 'invalid end state'            # a lost notification
TOO_EARLY = 'assertion violated'        # work seen before it is there

MODES = {
    'split event_idx': ['SPLIT'],
    'split event_idx, while notifications are on': ['SPLIT', 'STILL'],
    'packed desc event': ['PACKED'],
    'packed desc event, while notifications are on': ['PACKED', 'STILL'],
    'flags': ['FLAGS'],
}
# What must go wrong without the fence. A position that is read or seen out of
# step with its flags cannot lose a notification: the full fences, which come
# later on one side and earlier on the other, see to that.
FENCES = {
    'F_PUBLISH': TOO_EARLY,
    'F_TAKE': TOO_EARLY,
    'F_NOTIFY': ASLEEP,
    'F_LOOK': ASLEEP,
    'F_EVENT_W': None,
    'F_EVENT_R': None,
}


def search(model, defines):
    """Returns (what was found or None, states)."""
    with tempfile.TemporaryDirectory() as d:
        def run(*command):
            return subprocess.run(
                command, cwd=d, text=True, check=True,
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT).stdout

        run('spin', '-a', *[f'-D{x}' for x in defines], model)
        run('cc', '-O0', '-w', '-DSAFETY', '-o', 'pan', 'pan.c')
        out = run('./pan', '-m200000')
    states = re.search(r'(\d+) states, stored', out)
    errors = re.search(r'errors: (\d+)', out)
    if not states or not errors or 'too small' in out:
        raise RuntimeError(out)
    if errors.group(1) == '0':
        return None, int(states.group(1))
    found = re.search(r'^pan:\d+: ([a-z ]+)', out, re.M)
    return found.group(1).strip(), int(states.group(1))


def main():
    if not shutil.which('spin'):
        print('1..0 # SKIP spin is not installed (make deps)')
        return
    model = os.path.abspath(f'{sys.argv[1]}/ring-events.pml')
    cases = [(name, defines, None) for name, defines in MODES.items()]
    for mode, defines in MODES.items():
        cases += [(f'{mode} without {fence}', [*defines, f'NO_{fence}'],
                   expected) for fence, expected in FENCES.items()
                  if 'EVENT' not in fence or mode == 'packed desc event']
    print(f'1..{len(cases)}')
    bad = 0
    for number, (name, defines, expected) in enumerate(cases, 1):
        began = time.monotonic()
        found, states = search(model, defines)
        good = found == expected
        bad += not good
        print(f'{"ok" if good else "not ok"} {number} {name}\n# '
              f'{found or "nothing"} found in {states} states, '
              f'{time.monotonic() - began:.1f} s', flush=True)
    sys.exit(1 if bad else 0)


if __name__ == '__main__':
    main()
