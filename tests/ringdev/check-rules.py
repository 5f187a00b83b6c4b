#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Each test that virtio-ring-rules.rst names exists.

usage: check-rules.py PAGE QTEST-DIRECTORY PROGRAM...

PROGRAMs are asked for their tests; others are looked for by their quoted name
in QTEST-DIRECTORY. Each rule needs at least one. Prints TAP.
"""

import pathlib
import re
import subprocess
import sys


def main():
    page, qtests = map(pathlib.Path, sys.argv[1:3])
    known = {}
    for program in map(pathlib.Path, sys.argv[3:]):
        out = subprocess.run([program, '-l'], text=True, check=True,
                             stdout=subprocess.PIPE).stdout
        known[program.name] = {s for s in out.splitlines() if s[:1] == '/'}
    rules = page.read_text().split('\n   * - ')[1:]
    rules = [r.split('\n\n')[0] for r in rules if r[:1].isdigit()]
    print(f'1..{len(rules)}')
    failed = False
    for number, rule in enumerate(rules, 1):
        section, text, tests = rule.split('\n     - ')
        found = re.findall(r'``(\S+) (\S+)``', tests)
        bad = [] if found else ['no test']
        for program, path in found:
            source = qtests / f'{program}.c'
            if program in known:
                exists = path in known[program]
            else:
                exists = source.is_file() and \
                    f'"{path}"' in source.read_text()
            if not exists:
                bad.append(f'{program} has no {path}')
        failed |= bool(bad)
        title = ' '.join(text.split())
        print(f'{"not ok" if bad else "ok"} {number} {section} {title}')
        for line in bad:
            print(f'# {line}')
    sys.exit(1 if failed or not rules else 0)


if __name__ == '__main__':
    main()
