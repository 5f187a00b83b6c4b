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

from . import paths
from .errors import Failure

ELF = b"\x7fELF"
# Offsets in the setup header, Documentation/arch/x86/boot.rst of the kernel.
SETUP_SECTS = 0x1f1
MAGIC = 0x202
PAYLOAD_OFFSET = 0x248
PAYLOAD_LENGTH = 0x24c


def _zstd(data):
    tool = paths.tool("zstd", "zstd")
    # The payload ends in four bytes of size, which zstd sees as rubbish.
    done = subprocess.run([tool, "-dcq"], input=data, capture_output=True,
                          check=False)
    return done.stdout


def _xz(data):
    out = lzma.LZMADecompressor()
    return out.decompress(data)


def _gzip(data):
    import zlib
    return zlib.decompressobj(31).decompress(data)


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
            kernel = unpack(payload)
            if kernel[:4] == ELF:
                return kernel
            break
    raise Failure(f"cannot unpack the kernel in {name}",
                  "It is damaged, or compressed in another way than zstd, "
                  "xz or gzip.")
