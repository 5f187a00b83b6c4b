# SPDX-License-Identifier: GPL-2.0-or-later
"""The uncompressed kernel out of a bzImage.

QEMU boots an ELF kernel through PVH directly, which under emulation saves
the seconds the kernel would spend to unpack itself. A bzImage is a
decompressor with the compressed ELF file inside; the x86 boot protocol gives
the place and size of that payload in the setup header.
"""

import lzma
import struct
import subprocess
import zlib

from . import paths
from .errors import Failure

ELF = b"\x7fELF"
# Offsets in the setup header, Documentation/arch/x86/boot.rst of the kernel.
SETUP_SECTS = 0x1f1
MAGIC = 0x202
PAYLOAD_OFFSET = 0x248
PAYLOAD_LENGTH = 0x24c


def _zstd(data):
    # zstd itself would take the size at the end for a broken frame.
    return subprocess.run([paths.tool("zstd", "zstd"), "-dcq"],
                          input=data[:-4], capture_output=True,
                          check=True).stdout


def _xz(data):
    return lzma.LZMADecompressor().decompress(data)


def _gzip(data):
    return zlib.decompressobj(wbits=31).decompress(data)


FORMATS = ((b"\x28\xb5\x2f\xfd", _zstd), (b"\xfd7zXZ\0", _xz),
           (b"\x1f\x8b", _gzip))


def extract(image, name):
    """The ELF kernel in ``image`` (bytes of a vmlinuz or vmlinux)."""
    if image[:4] == ELF:
        return image
    if image[MAGIC:MAGIC + 4] != b"HdrS":
        raise Failure(f"{name} is not a Linux kernel for x86",
                      "Give a vmlinuz (bzImage) or an uncompressed vmlinux.")
    sects = image[SETUP_SECTS] or 4
    start, length = struct.unpack_from("<II", image, PAYLOAD_OFFSET)
    start += (sects + 1) * 512
    payload = image[start:start + length]
    for magic, unpack in FORMATS:
        if payload.startswith(magic):
            try:
                kernel = unpack(payload)
            except (lzma.LZMAError, zlib.error,
                    subprocess.CalledProcessError):
                break
            # Every format ends in the size of what was packed.
            size, = struct.unpack("<I", payload[-4:])
            if kernel[:4] == ELF and len(kernel) == size:
                return kernel
            break
    raise Failure(f"cannot unpack the kernel in {name}",
                  "It is damaged, or compressed in another way than zstd, "
                  "xz or gzip.")
