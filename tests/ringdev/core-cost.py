#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What a request costs the ring core stays within recorded bounds.

usage: core-cost.py CORECOUNT COREINSN [--record | --json]

Instructions per request (fetch, fill, and its share of a flush and of the
decision about an interrupt), counted with callgrind, must not exceed what
core-cost.json says by more than 3 %; the goal for the plain packed ring is
shown beside.
Cache lines of the ring touched by the device must not exceed the goals and
what was recorded. Both are exact for one compiler and its flags; another
compiler's instructions are shown and not judged. Output is TAP; --record
writes core-cost.json anew, --json prints the figures.
"""
import json
import os
import re
import subprocess
import sys
import tempfile

RECORD = os.path.join(os.path.dirname(os.path.abspath(__file__)),
                      'core-cost.json')
SLACK = 1.03
CELLS = [f'{layout} {batch}{words}' for layout in ('packed', 'split')
         for batch, words in ((1, ''), (4, ''), (16, ''), (64, ''),
                              (1, ' event'), (16, ' event'),
                              (16, ' in-order'), (16, ' chain'),
                              (16, ' indirect'))]
# What the engine was built for: instructions; lines at batch 1 and 16
GOAL_WORK = {'packed 16': 120}
GOAL_LINES = {'packed 1 poll': 2, 'packed 16 poll': 0.5}


def compiler(program):
    """What compiled it, as the object file says."""
    out = subprocess.run(['readelf', '-p', '.comment', program],
                         capture_output=True, text=True, check=True).stdout
    return sorted(set(re.findall(r'\]\s+(.*\S)', out)))[0]


def instructions(program, cell):
    """Instructions per request of one cell."""
    with tempfile.TemporaryDirectory() as directory:
        out = os.path.join(directory, 'out')
        done = subprocess.run(
            ['valgrind', '--tool=callgrind', f'--callgrind-out-file={out}',
             '--toggle-collect=vring_*', program, *cell.split()],
            capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(f'core-cost.py: coreinsn {cell} under valgrind ended '
                     f'with {done.returncode}:\n{done.stderr}')
        with open(out, encoding='utf-8') as file:
            total = int(re.search(r'^(?:summary|totals): (\d+)', file.read(),
                                  re.M)[1])
    if not total:
        sys.exit('core-cost.py: callgrind saw no vring_fetch; was coreinsn '
                 'stripped?')
    return round(total / int(done.stdout), 2)


def lines(program):
    """Lines touched, misses and upgrades per request, by cell."""
    done = subprocess.run([program], capture_output=True, text=True,
                          check=True)
    cells = {}
    for line in done.stdout.splitlines():
        c = json.loads(line)
        key = ' '.join([c['layout'], str(c['batch'])] +
                       ['in-order'] * c['in_order'] +
                       [c['shape']] * (c['shape'] != 'direct') + [c['mode']])
        cells[key] = [c['lines'], c['misses'], c['upgrades']]
    return cells


def judge(got, want):
    """Yield (good, text); good is None for what is not judged."""
    same = got['compiler'] == want['compiler']
    for cell, n in got['instructions'].items():
        bound = want['instructions'].get(cell, 0) * SLACK
        goal = f', goal {GOAL_WORK[cell]}' if cell in GOAL_WORK else ''
        yield (n <= bound if same else None,
               f'{cell}: {n} instructions per request (bound {bound:.1f}'
               f'{goal})')
    for cell, values in got['lines'].items():
        bounds = want['lines'].get(cell, [0, 0, 0])
        goal = GOAL_LINES.get(cell, bounds[0])
        yield (all(v <= b for v, b in zip(values, bounds)) and
               values[0] <= goal,
               f'{cell}: lines, misses, upgrades {values} (bounds {bounds})')


def main():
    args = [a for a in sys.argv[1:] if not a.startswith('--')]
    options = set(sys.argv[1:]) - set(args)
    if len(args) != 2 or options - {'--record', '--json'}:
        sys.exit(__doc__)
    got = {'compiler': compiler(args[1]),
           'instructions': {c: instructions(args[1], c) for c in CELLS},
           'lines': lines(args[0])}
    if options:
        text = json.dumps(got, indent=1)
        text = re.sub(r'\[\s+(\S+)\s+(\S+)\s+(\S+)\s+\]', r'[\1 \2 \3]', text)
        if '--json' in options:
            print(text)
        else:
            with open(RECORD, 'w', encoding='utf-8') as file:
                file.write(text + '\n')
        return 0
    with open(RECORD, encoding='utf-8') as file:
        results = list(judge(got, json.load(file)))
    print(f'1..{len(results)}')
    for n, (good, text) in enumerate(results, 1):
        if good is None:
            print(f'ok {n} - {text} # SKIP compiled by {got["compiler"]}')
        else:
            print(f'{"ok" if good else "not ok"} {n} - {text}')
    return any(good is False for good, _ in results)


if __name__ == '__main__':
    sys.exit(main())
