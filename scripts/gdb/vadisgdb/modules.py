# SPDX-License-Identifier: GPL-2.0-or-later
"""A guest's modules, read from its memory and made known to gdb."""

import atexit
import os
import shutil
import tempfile

import gdb

from . import btf, elf, orc, symfile

MAX_SYMBOLS = 200000
MAX_BLOB = 64 << 20
SYM_ENTRY = elf.SYM


class Trouble(Exception):
    """What stands in the way, in words for the user."""


def memory(addr, size):
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


def address(name):
    """Address of a kernel symbol, None if the kernel has none."""
    symbol = gdb.lookup_minimal_symbol(name) \
        if hasattr(gdb, 'lookup_minimal_symbol') else None
    if symbol is not None:
        return int(symbol.value().address)
    try:
        return int(gdb.parse_and_eval(f"(unsigned long)&'{name}'"))
    except gdb.error:
        return None


def kernel_type(name):
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
            kernel_type('struct module').pointer())
        self.mod = pointer.dereference()
        raw = memory(int(self.mod['name'].address),
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
        symtab = memory(int(table['symtab']), count * SYM_ENTRY.size)
        kinds = memory(int(table['typetab']), count)
        entries = list(SYM_ENTRY.iter_unpack(symtab))
        longest = max((entry[0] for entry in entries), default=0)
        strings = self._strings(int(table['strtab']), longest + 512)
        out = []
        for entry, kind in zip(entries, kinds):
            name = elf.cstring(strings, entry[0])
            inside = any(addr <= entry[4] < addr + size
                         for _, addr, size, _ in spans)
            if name and inside and not symfile.useless(name):
                out.append(symfile.Name(entry[4], chr(kind), name))
        return out

    @staticmethod
    def _strings(addr, size):
        """A string table of unknown length: read until memory ends."""
        out = b''
        while len(out) < size:
            step = min(size - len(out), 4096 - (addr + len(out)) % 4096)
            try:
                out += memory(addr + len(out), step)
            except Trouble:
                break
        return out + b'\0'

    def btf_blob(self):
        """Its BTF, which the kernel frees once the module is loaded."""
        if not _has(self.mod, 'btf_data') or not int(self.mod['btf_data']):
            return b''
        return memory(int(self.mod['btf_data']),
                       int(self.mod['btf_data_size']))

    def orc(self):
        """(addresses, entries) of its ORC table, or None."""
        arch = self.mod['arch']
        if not _has(arch, 'orc_unwind') or not int(arch['num_orcs']):
            return None
        count = int(arch['num_orcs'])
        ip_addr = int(arch['orc_unwind_ip'])
        return (orc.addresses(memory(ip_addr, 4 * count), ip_addr),
                memory(int(arch['orc_unwind']), 6 * count))


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
                return memory(addr, size)
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
