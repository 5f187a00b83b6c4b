# SPDX-License-Identifier: GPL-2.0-or-later
"""The `vguest` commands: a guest's kernel and modules through the gdbstub.

The kernel's symbol file is loaded when gdb starts. Modules come and go, so
a breakpoint in the kernel's own module notifier tells of each; everything
about a module is read from the guest's memory at that moment.
"""

import atexit
import os
import shutil
import tempfile

import gdb

from . import btf, elf, orc, symfile

HELP = """\
vguest attach SOCKET             connect to a guest stopped by -S, run it to
                                 start_kernel, follow modules from then on
vguest break [MODULE:]FUNCTION [if CONDITION]
                                 stop at a function's first instruction, where
                                 its arguments are known; a module that is not
                                 loaded yet is waited for
vguest modules                   loaded modules and whether gdb knows them
vguest batch COMMAND             run a gdb command and remember if it fails
vguest end                       let the guest run on without gdb; gdb's exit
                                 status is 1 if a batch command failed
vguest help                      this text

Kernel types come from BTF: try "ptype struct virtqueue" or, stopped in a
function, "info args". Locals and line numbers are not in Debian's kernel."""

WELCOME = """\
The guest waits in start_kernel; modules are followed as they load. Next:
    vguest break virtio_blk:virtio_queue_rq
    continue
    bt                  (then "info args"; "vguest help" lists more)
"""

# enum module_state: what the notifier is called with.
LIVE, COMING, GOING = 0, 1, 2
MAX_MODULES = 4096
MAX_SYMBOLS = 200000
MAX_BLOB = 64 << 20
SYM_ENTRY = elf.SYM


class Trouble(Exception):
    """What stands in the way, in words for the user."""


def _memory(addr, size):
    if not 0 <= size <= MAX_BLOB:
        raise Trouble(f'{size} bytes at {addr:#x}: the guest\'s structures '
                      f'make no sense')
    try:
        return bytes(gdb.selected_inferior().read_memory(addr, size))
    except gdb.MemoryError as exc:
        raise Trouble(f'cannot read {size} bytes of the guest at {addr:#x}'
                      ) from exc


def _has(value, name):
    return any(item.name == name for item in value.type.fields())


def _address(name):
    """Address of a kernel symbol, None if the kernel has none."""
    symbol = gdb.lookup_minimal_symbol(name) \
        if hasattr(gdb, 'lookup_minimal_symbol') else None
    if symbol is not None:
        return int(symbol.value().address)
    try:
        return int(gdb.parse_and_eval(f"(unsigned long)&'{name}'"))
    except gdb.error:
        return None


def _kernel_type(name):
    try:
        return gdb.lookup_type(name)
    except gdb.error as exc:
        raise Trouble(f'no type "{name}": start gdb with the symbol file '
                      f'that run-vm --gdb makes') from exc


class KernelInfo:
    """What module symbols need of the kernel: its BTF, parsed once."""

    def __init__(self):
        self._types = None
        self._layout = None
        self._tried = False

    def _load(self):
        if self._tried:
            return
        self._tried = True
        name = gdb.current_progspace().filename or ''
        path = os.path.join(os.path.dirname(name), 'kernel.btf')
        try:
            with open(path, 'rb') as blob:
                self._types = btf.Btf(blob.read())
        except (OSError, btf.BadBtf) as exc:
            gdb.write(f'vguest: modules will have no types: {exc}\n')
            return
        fields = self._types.bitfields('orc_entry')
        if {'sp_reg', 'bp_reg', 'type'} <= fields.keys():
            self._layout = orc.Layout(fields)

    @property
    def types(self):
        """The kernel's Btf, None without one."""
        self._load()
        return self._types

    @property
    def layout(self):
        """How ORC entries are laid out, None if unknown."""
        self._load()
        return self._layout


class Module:
    """A struct module of the guest."""

    def __init__(self, addr):
        pointer = gdb.Value(addr).cast(
            _kernel_type('struct module').pointer())
        self.mod = pointer.dereference()
        raw = _memory(int(self.mod['name'].address),
                      self.mod['name'].type.sizeof)
        self.name = elf.cstring(raw + b'\0', 0)

    def spans(self):
        """[(name, address, size, executable)] of its memory."""
        out = []
        if _has(self.mod, 'mem'):
            low, high = self.mod['mem'].type.range()
            for number in range(low, high + 1):
                part = self.mod['mem'][number]
                # Numbers 0 and 4 are MOD_TEXT and MOD_INIT_TEXT.
                out.append((('.text', '.data', '.rodata', '.ro_after_init',
                             '.init.text', '.init.data', '.init.rodata'
                             )[number] if number < 7 else f'.part{number}',
                            int(part['base']), int(part['size']),
                            number in (0, 4)))
        else:
            # Before Linux 6.4: two areas, each starting with its text.
            for field, text, data in (
                    ('core_layout', '.text', '.data'),
                    ('init_layout', '.init.text', '.init.data')):
                part = self.mod[field]
                base, code = int(part['base']), int(part['text_size'])
                out.append((text, base, code, True))
                out.append((data, base + code, int(part['size']) - code,
                            False))
        return [span for span in out if span[1] and span[2] > 0]

    def names(self, spans):
        """Its symbols, addresses already final, as symfile.Name."""
        table = self.mod['kallsyms']
        if int(table) == 0:
            return []
        table = table.dereference()
        count = min(int(table['num_symtab']), MAX_SYMBOLS)
        symtab = _memory(int(table['symtab']), count * SYM_ENTRY.size)
        kinds = _memory(int(table['typetab']), count)
        entries = list(SYM_ENTRY.iter_unpack(symtab))
        longest = max((entry[0] for entry in entries), default=0)
        strings = self._strings(int(table['strtab']), longest + 512)
        out = []
        for entry, kind in zip(entries, kinds):
            name = elf.cstring(strings, entry[0])
            if name and not symfile.useless(name) and any(addr <= entry[4] < addr + size
                            for _, addr, size, _ in spans):
                out.append(symfile.Name(entry[4], chr(kind), name))
        return out

    @staticmethod
    def _strings(addr, size):
        """A string table of unknown length: read until memory ends."""
        out = b''
        while len(out) < size:
            step = min(size - len(out), 4096 - (addr + len(out)) % 4096)
            try:
                out += _memory(addr + len(out), step)
            except Trouble:
                break
        return out + b'\0'

    def btf_blob(self):
        """Its BTF, which the kernel frees once the module is loaded."""
        if not _has(self.mod, 'btf_data') or not int(self.mod['btf_data']):
            return b''
        return _memory(int(self.mod['btf_data']),
                       int(self.mod['btf_data_size']))

    def orc(self):
        """(addresses, entries) of its ORC table, or None."""
        arch = self.mod['arch']
        if not _has(arch, 'orc_unwind') or not int(arch['num_orcs']):
            return None
        count = int(arch['num_orcs'])
        ip_addr = int(arch['orc_unwind_ip'])
        return (orc.addresses(_memory(ip_addr, 4 * count), ip_addr),
                _memory(int(arch['orc_unwind']), 6 * count))


class Symbols:
    """The module symbol files gdb has loaded."""

    def __init__(self, kernel):
        self.kernel = kernel
        self.loaded = {}        # module name -> {'core' or 'init': path}
        self._dir = None

    def _path(self, name):
        if self._dir is None:
            self._dir = tempfile.mkdtemp(prefix='vadis-gdb.')
            atexit.register(shutil.rmtree, self._dir, True)
        clean = ''.join(char if char.isalnum() or char in '_-' else '_'
                        for char in name)
        return os.path.join(self._dir, clean + '.debug')

    def core(self, name):
        """Path of the symbol file of a module that is loaded, or None."""
        return self.loaded.get(name, {}).get('core')

    def add(self, module, fresh):
        """Make a module known; `fresh`: it is being loaded right now."""
        self.remove(module.name)
        parts = {'core': [], 'init': []}
        for span in module.spans():
            parts['init' if span[0].startswith('.init') else 'core'
                  ].append(span)
        types = None
        blob = module.btf_blob() if fresh and self.kernel.types else b''
        if blob:
            try:
                types = btf.Btf(blob, self.kernel.types)
            except btf.BadBtf as exc:
                gdb.write(f'vguest: {module.name}: no types: {exc}\n')
        self._load(module, parts['core'], types, 'core')
        if fresh and parts['init']:
            # A file of its own: the kernel frees this memory soon, and the
            # next module may be put there.
            self._load(module, parts['init'], None, 'init')

    def _load(self, module, spans, types, part):
        def code(addr, size):
            try:
                return _memory(addr, size)
            except Trouble:
                return b''
        path = self._path(f'{module.name}-{part}')
        symfile.write_module(symfile.Module(
            module.name, spans, module.names(spans), types, code,
            module.orc()), self.kernel.layout, path)
        quoted = path.replace('\\', '\\\\').replace(' ', '\\ ')
        gdb.execute(f'add-symbol-file {quoted}', to_string=True)
        self.loaded.setdefault(module.name, {})[part] = path

    def remove(self, name, part=None):
        """Forget a module that was unloaded, or one part of it."""
        files = self.loaded.get(name, {})
        for key in [part] if part else list(files):
            path = files.pop(key, None)
            if path is None:
                continue
            quoted = path.replace('\\', '\\\\').replace(' ', '\\ ')
            gdb.execute(f'remove-symbol-file {quoted}', to_string=True)
            os.unlink(path)
        if not files:
            self.loaded.pop(name, None)


class ModuleWatch(gdb.Breakpoint):
    """Internal breakpoint in the kernel's module notifier; never stops."""

    def __init__(self, follower, addr, notifier):
        super().__init__(f'*{addr:#x}', internal=True)
        self.silent = True
        self._follower = follower
        self._notifier = notifier

    def stop(self):
        """Called by gdb at each hit; errors must not stop the guest."""
        try:
            if self._notifier:
                state = int(gdb.parse_and_eval('$rsi'))
                addr = int(gdb.parse_and_eval('$rdx'))
            else:
                state = COMING
                addr = int(gdb.parse_and_eval('$rdi'))
            self._follower.event(state, addr & (1 << 64) - 1)
        except (Trouble, gdb.error, symfile.BadSymbols) as exc:
            gdb.write(f'vguest: a module could not be read: {exc}\n')
        return False


class Follower:
    """Keeps gdb's symbols in step with the guest's modules."""

    def __init__(self):
        self.symbols = Symbols(KernelInfo())
        self.wanted = []        # (module, function, condition) to come
        self.failed = False     # has a batch command gone wrong?
        self.notified = False   # are we told when init memory goes?
        self._watch = None

    def start(self):
        """Watch the guest load and unload modules."""
        if self._watch is not None:
            return
        # The notifier runs when symbols are final and BTF is still there.
        addr = _address('btf_module_notify')
        notifier = addr is not None
        if not notifier:
            addr = _address('do_init_module')
        if addr is None:
            gdb.write('vguest: this kernel has no modules to follow\n')
            return
        self.notified = notifier
        self._watch = ModuleWatch(self, addr, notifier)

    def event(self, state, addr):
        """A module at `addr` changed to `state`."""
        if state == COMING:
            module = Module(addr)
            self.symbols.add(module, self.notified)
            self._place(module.name)
        elif state == LIVE:
            self.symbols.remove(Module(addr).name, 'init')
        elif state == GOING:
            self.symbols.remove(Module(addr).name)

    def _place(self, name):
        """Set the breakpoints that waited for this module."""
        for item in [want for want in self.wanted
                     if want[0] in (name, None)]:
            if set_break(item[1], item[2], self.symbols.core(name)):
                self.wanted.remove(item)
            elif item[0] == name:
                gdb.write(f'vguest: module {name} has no function '
                          f'{item[1]}\n')
                self.wanted.remove(item)

    def walk(self):
        """Modules in the guest now; needs a kernel that has started."""
        head = _address('modules')
        if head is None:
            raise Trouble('the kernel has no list of modules')
        module = _kernel_type('struct module')
        offset = next(item.bitpos // 8 for item in module.fields()
                      if item.name == 'list')
        node = int.from_bytes(_memory(head, 8), 'little')
        seen = set()
        while node not in (0, head) and node not in seen \
                and len(seen) < MAX_MODULES:
            seen.add(node)
            yield Module(node - offset)
            node = int.from_bytes(_memory(node, 8), 'little')


def _function(name, path=None):
    """Address of a function in the kernel, or in one symbol file."""
    for objfile in gdb.objfiles():
        if path is not None and objfile.filename != path:
            continue
        symbol = objfile.lookup_global_symbol(name) \
            or objfile.lookup_static_symbol(name)
        if symbol is not None and symbol.symtab is not None \
                and symbol.type.code == gdb.TYPE_CODE_FUNC:
            return int(symbol.value().address)
    if path is None:
        return _address(name)
    with open(path, 'rb') as data:
        parts = elf.read_sections(data.read())
    for entry in SYM_ENTRY.iter_unpack(parts['.symtab'].data):
        if elf.cstring(parts['.strtab'].data, entry[0]) == name:
            return entry[4]
    return None


def set_break(function, condition, path=None):
    """Break at a function's entry; the Breakpoint, or None if unknown."""
    addr = _function(function, path)
    if addr is None:
        return None
    # At the very entry the arguments are in registers, and no prologue has
    # to be read: the address may not be mapped yet.
    point = gdb.Breakpoint(f'*{addr:#x}')
    if condition:
        point.condition = condition
    return point


class _Command(gdb.Command):
    """A vguest subcommand: troubles are one line, not a traceback."""

    name = ''

    def __init__(self, follower):
        super().__init__(f'vguest {self.name}', gdb.COMMAND_RUNNING)
        self.follower = follower

    def invoke(self, arg, from_tty):
        del from_tty
        try:
            self.run(arg.strip())
        except (Trouble, symfile.BadSymbols) as exc:
            raise gdb.GdbError(f'vguest: {exc}') from exc
        except gdb.error as exc:
            raise gdb.GdbError(f'vguest: {exc}') from exc

    def run(self, arg):
        """Do the work."""
        raise NotImplementedError


class Attach(_Command):
    """vguest attach SOCKET: connect to a guest that waits for gdb."""

    name = 'attach'

    def run(self, arg):
        if not arg:
            raise Trouble('usage: vguest attach SOCKET')
        for line in ('set breakpoint pending on', 'set pagination off',
                     'set confirm off', 'set print pretty on',
                     'set architecture i386:x86-64',
                     # A stub that answers late under load is not dead.
                     'set remotetimeout 120'):
            gdb.execute(line, to_string=True)
        gdb.execute(f'target remote {arg}', to_string=True)
        start = _address('start_kernel')
        if start is None:
            raise Trouble('no symbol start_kernel: start gdb with the '
                          'symbol file that run-vm --gdb makes')
        # Before this point the kernel's addresses are not mapped, and gdb
        # could not read code to place an ordinary breakpoint.
        point = gdb.Breakpoint(f'*{start:#x}', internal=True)
        point.silent = True
        gdb.execute('continue', to_string=True)
        point.delete()
        if int(gdb.parse_and_eval('(unsigned long)$pc')) != start:
            raise Trouble('the guest stopped before the kernel started')
        self.follower.start()
        gdb.write(WELCOME)


class Break(_Command):
    """vguest break [MODULE:]FUNCTION [if CONDITION]."""

    name = 'break'

    def run(self, arg):
        spec, _, condition = arg.partition(' if ')
        module, colon, function = spec.strip().partition(':')
        if not colon:
            module, function = None, module
        if not function:
            raise Trouble('usage: vguest break [MODULE:]FUNCTION '
                          '[if CONDITION]')
        # Module names use _ where file names may have -.
        module = module.replace('-', '_') if module else None
        condition = condition.strip()
        self.follower.start()
        path = None
        if module:
            for item in self.follower.walk():
                if item.name == module \
                        and module not in self.follower.symbols.loaded:
                    self.follower.symbols.add(item, False)
            path = self.follower.symbols.core(module)
        if module and path is None:
            self.follower.wanted.append((module, function, condition))
            gdb.write(f'waiting for module {module} to stop in '
                      f'{function}\n')
            return
        if set_break(function, condition, path):
            return
        if module:
            raise Trouble(f'module {module} has no function {function}')
        self.follower.wanted.append((None, function, condition))
        gdb.write(f'no function {function} in the kernel; waiting for a '
                  f'module that has it\n')


class Modules(_Command):
    """vguest modules: loaded modules; makes those unknown to gdb known."""

    name = 'modules'

    def run(self, arg):
        del arg
        count = 0
        for module in self.follower.walk():
            count += 1
            known = module.name in self.follower.symbols.loaded
            if not known:
                self.follower.symbols.add(module, False)
            spans = module.spans()
            where = f'{spans[0][1]:#x}' if spans else '?'
            gdb.write(f'{module.name:<24} {where}  '
                      + ('types and symbols' if known
                         else 'symbols (loaded before gdb came)') + '\n')
        if not count:
            gdb.write('no module is loaded\n')


class Batch(_Command):
    """vguest batch COMMAND: for scripts, see vguest end."""

    name = 'batch'

    def run(self, arg):
        try:
            gdb.execute(arg)
            if arg == 'continue' and not gdb.selected_inferior().pid:
                raise gdb.error('the guest ended before it reached a '
                                'breakpoint')
        except gdb.error as exc:
            gdb.write(f'{arg}: {exc}\n', gdb.STDERR)
            self.follower.failed = True


class End(_Command):
    """vguest end: leave the guest running and gdb with a status."""

    name = 'end'

    def run(self, arg):
        del arg
        if gdb.selected_inferior().pid:
            gdb.execute('delete', to_string=True)
            gdb.execute('detach', to_string=True)
        gdb.execute(f'quit {int(self.follower.failed)}')


class Help(_Command):
    """vguest help: the commands with their arguments."""

    name = 'help'

    def run(self, arg):
        del arg
        gdb.write(HELP + '\n')


class Vguest(gdb.Command):
    """Debug a guest's kernel and modules: "vguest help"."""

    def __init__(self):
        super().__init__('vguest', gdb.COMMAND_RUNNING, gdb.COMPLETE_NONE,
                         True)

    def invoke(self, arg, from_tty):
        del arg, from_tty
        gdb.write(HELP + '\n')


def register():
    """Make the commands known to gdb."""
    follower = Follower()
    Vguest()
    for command in (Attach, Break, Modules, Batch, End, Help):
        command(follower)
