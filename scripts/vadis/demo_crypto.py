# SPDX-License-Identifier: GPL-2.0-or-later
"""The services of virtio-crypto that no kernel driver uses.

The guest's driver is taken off the device, a program of guest/tools/crypto
drives it with the ring library of guest/lib, and the driver is put back.
"""

import hashlib
import os
import subprocess

from .demo_row import expect

OK, BADMSG = "0", "2"
SHA3_256, SHAKE256 = 8, 12
GCM, CHACHA20_POLY1305 = 1, 3

# RFC 8439, section 2.8.2
CHACHA = {
    "key": bytes(range(0x80, 0xa0)).hex(),
    "nonce": "070000004041424344454647",
    "aad": "50515253c0c1c2c3c4c5c6c7",
    "text": b"Ladies and Gentlemen of the class of '99: If I could offer you "
            b"only one tip for the future, sunscreen would be it.".hex(),
    "cipher": "d31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d6"
              "3dbea45e8ca9671282fafb69da92728b1a71de0a9e060b2905d6a5b67ecd3b36"
              "92ddbd7f2d778b8c9803aee328091b58fab324e4fad675945585808b4831d7bc"
              "3ff4def08e4b7a9de576d26586cec64b6116",
    "tag": "1ae10b594f09e26a7e902ecbd0600691",
}
# McGrew and Viega, The Galois/Counter Mode of Operation, test case 4
GALOIS = {
    "key": "feffe9928665731c6d6a8f9467308308",
    "nonce": "cafebabefacedbaddecaf888",
    "aad": "feedfacedeadbeeffeedfacedeadbeefabaddad2",
    "text": "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
            "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39",
    "cipher": "42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e"
              "21d514b25466931c7d8f6a5aac84aa051ba30b396a0aac973d58e091",
    "tag": "5bc94fbc3221a5db94fae95ae7121a47",
}


def services(demo, device):
    """Work hashes and AEAD of the virtio device; what was done, in words."""
    # Here, not above: the guest imports this module as well.
    from . import guesttool                # pylint: disable=C0415
    program = guesttool.build("crypto")
    data = os.urandom(1500)
    sealed = sealed_by(CHACHA)
    forged = sealed[:-1] + f"{int(sealed[-1], 16) ^ 1:x}"
    ask = [f"hash {SHA3_256} 32 {data.hex()}",
           f"hash {SHAKE256} 100 {data.hex()}",
           aead(GCM, "encrypt", GALOIS, GALOIS["text"]),
           aead(CHACHA20_POLY1305, "encrypt", CHACHA, CHACHA["text"]),
           aead(CHACHA20_POLY1305, "decrypt", CHACHA, sealed),
           aead(CHACHA20_POLY1305, "decrypt", CHACHA, forged)]
    want = [(OK, hashlib.sha3_256(data).hexdigest()),
            (OK, hashlib.shake_256(data).hexdigest(100)),
            (OK, sealed_by(GALOIS)), (OK, sealed), (OK, CHACHA["text"]),
            (BADMSG, "00" * (len(CHACHA["text"]) // 2))]
    said = demo.call(drive, device=device, program=str(program),
                     jobs="\n".join(ask) + "\n").splitlines()[1:]
    for job, line, known in zip(ask, said, want):
        expect(tuple(line.split(" ")) == known,
               f"{' '.join(job.split()[:3])}: answered {line}, known is "
               f"{known}")
    expect(len(said) == len(ask), f"{len(said)} answers to {len(ask)} jobs")
    return ("from user space SHA3-256, SHAKE256, AES-GCM and "
            "ChaCha20-Poly1305 to known answers, a forged tag refused")


def sealed_by(known):
    return known["cipher"] + known["tag"]


def aead(algorithm, direction, known, text):
    return (f"aead {algorithm} {direction} {len(known['tag']) // 2} "
            f"{known['key']} {known['nonce']} {known['aad']} {text}")


def drive(device, program, jobs):
    """Runs in the guest; what the program prints."""
    pci = os.path.dirname(device)
    # Locked pages stay in place.
    write("/proc/sys/vm/compact_unevictable_allowed", "0")
    write(pci + "/driver/unbind", os.path.basename(pci))
    try:
        done = subprocess.run([program, pci], input=jobs, text=True,
                              capture_output=True, check=False)
    finally:
        write("/sys/bus/pci/drivers_probe", os.path.basename(pci))
    expect(done.returncode == 0, done.stderr.strip())
    return done.stdout


def write(path, text):
    with open(path, "w", encoding="ascii") as file:
        file.write(text)
