# SPDX-License-Identifier: GPL-2.0-or-later
"""What the ring decoders found, laid out as lines of text; no gdb here."""

from . import ring

MAX_PROBLEMS = 8


def _known(value):
    return 'not known' if value is None else str(value)


def _position(index, wrap):
    """An index with its wrap counter, as far as both are known."""
    if wrap is None:
        return _known(index)
    return f'{_known(index)}, wrap counter {int(wrap)}'


def line(label, text):
    """One indented 'label  text' line; all reports share its columns."""
    return f'  {label:<16}{text}'


def _problems(found):
    """Problem lines; a ring full of noise has more than anybody reads."""
    out = [line('problem', text) for text in found[:MAX_PROBLEMS]]
    if len(found) > MAX_PROBLEMS:
        out.append(line('problem', f'and {len(found) - MAX_PROBLEMS} more'))
    return out


def _heads(heads):
    shown = ' '.join(str(head) for head in heads[:16])
    more = len(heads) - 16
    return f' at descriptor {shown}' + (f' and {more} more' if more > 0
                                        else '')


def _notification(queue):
    if queue.notification is None:
        return 'not known'
    return 'wanted' if queue.notification else 'switched off'


def _signalled(queue):
    if queue.signalled_used is None:
        return 'not known'
    if not queue.signalled_used_valid:
        return 'none yet'
    return f'at used index {queue.signalled_used}'


def queue_lines(read, queue):
    """All there is to say about one queue; bounded, never raises."""
    kind = 'packed' if queue.packed else 'split'
    event = 'on' if queue.event_idx else 'off'
    out = [line('layout', f'{kind}, {queue.num} descriptors, '
                          f'event index {event}')]
    problem = ring.ring_problem(queue)
    if problem:
        out.append(line('problem', problem))
    names = (('driver event', 'device event') if queue.packed
             else ('available ring', 'used ring'))
    for label, addr in (('descriptors', queue.desc),
                        (names[0], queue.driver), (names[1], queue.device)):
        out.append(line(label, f'at {addr:#x}'))
    out.append(line('next to pop', _position(
        queue.last_avail, queue.last_avail_wrap if queue.packed else None)))
    out.append(line('next to use', _position(
        queue.used_idx, queue.used_wrap if queue.packed else None)))
    # QEMU counts descriptors in a packed ring and chains in a split one.
    unit = 'descriptors' if queue.packed else 'chains'
    out.append(line('in flight', _known(queue.inuse)
                    + (f' {unit}' if queue.inuse is not None else '')))
    if problem is None:
        heads, problems = ring.waiting(read, queue)
        out.append(line('waiting', f'{len(heads)}'
                        + (_heads(heads) if heads else '')))
        out += _problems(problems)
        driver, device = ring.event_words(read, queue)
        out.append(line('driver says', driver))
        out.append(line('device says', device))
    out.append(line('notifications', _notification(queue)))
    out.append(line('last interrupt', _signalled(queue)))
    if queue.vector is not None:
        vector = ('none' if queue.vector == 0xffff
                  else str(queue.vector))
        out.append(line('MSI-X vector', vector))
    out += [line('problem', text) for text in _doubts(queue)]
    out += [line('note', text) for text in queue.notes]
    return out


def _doubts(queue):
    """Device state that cannot be right, whatever the guest did."""
    out = []
    if ring.ring_problem(queue):
        return out
    if queue.inuse is not None and queue.inuse > queue.num:
        out.append(f'{queue.inuse} in flight in a ring of {queue.num}')
    if queue.packed:
        for name, value in (('next to pop', queue.last_avail),
                            ('next to use', queue.used_idx)):
            if value is not None and value >= queue.num:
                out.append(f'{name} is {value}, outside the ring of '
                           f'{queue.num}')
    return out


def chain_lines(read, queue, head):
    """One descriptor chain, a line per descriptor; bounded, never raises."""
    chain = ring.walk_chain(read, queue, head)
    out = [f'chain at descriptor {head}: {len(chain.descs)} descriptors, '
           f'{chain.ends}']
    for desc in chain.descs[:ring.MAX_SHOWN]:
        indent = '    ' if desc.indirect else '  '
        out.append(f'{indent}[{desc.slot:>3}] {desc.addr:#018x} '
                   f'{desc.length:>8} bytes  {desc.words()}')
    hidden = len(chain.descs) - ring.MAX_SHOWN
    if hidden > 0:
        out.append(f'  and {hidden} more')
    if chain.descs:
        reads, writes = chain.lengths()
        out.append(line('total', f'{reads} bytes the device reads, '
                                 f'{writes} it writes'))
    out += _problems(chain.problems)
    return out


def waiting_chain_lines(read, queue):
    """The next chain the device will pop, or why there is none."""
    heads, problems = ring.waiting(read, queue)
    out = []
    if heads:
        out.append(f'{len(heads)} waiting{_heads(heads)}; the next one:')
        out += chain_lines(read, queue, heads[0])
    elif not problems:
        out.append('nothing is waiting (name a descriptor to see an old '
                   'chain)')
    out += _problems(problems)
    return out
