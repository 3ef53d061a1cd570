#!/usr/bin/env python3
"""Writes vectors.json: the chunks and the password form as SSE spec section 14
describes them, made with Python's cryptography and not with this package. The
plaintext of the chunks is SHAKE256 of "plaintext", as long as the size."""
import base64, hashlib, json, struct
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from cryptography.hazmat.primitives.kdf.pbkdf2 import PBKDF2HMAC

CHUNK = 16384


def hchacha20(key, nonce):
    s = list(struct.unpack("<4I", b"expand 32-byte k") + struct.unpack("<8I", key) + struct.unpack("<4I", nonce))

    def quarter(a, b, c, d):
        for x, y, z, n in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
            s[x] = s[x] + s[y] & 0xFFFFFFFF
            v = s[z] ^ s[x]
            s[z] = (v << n | v >> 32 - n) & 0xFFFFFFFF

    for _ in range(10):
        for i in range(4):
            quarter(i, 4 + i, 8 + i, 12 + i)
        for i in range(4):
            quarter(i, 4 + (i + 1) % 4, 8 + (i + 2) % 4, 12 + (i + 3) % 4)
    return struct.pack("<8I", *s[:4], *s[12:])


def seal(algorithm, key, nonce, plain):
    if algorithm == "XChaCha20-Poly1305":
        key, nonce, algorithm = hchacha20(key, nonce[:16]), bytes(4) + nonce[16:], "ChaCha20-Poly1305"
    a = {"AES-256-GCM": AESGCM, "ChaCha20-Poly1305": ChaCha20Poly1305}[algorithm](key)
    tag = a.encrypt(nonce + struct.pack("<I", 0), b"", b"")
    out, pieces = b"", [plain[i:i + CHUNK] for i in range(0, len(plain), CHUNK)] or [b""]
    for i, piece in enumerate(pieces):
        flag = b"\x80" if i == len(pieces) - 1 else b"\x00"
        out += a.encrypt(nonce + struct.pack("<I", i + 1), piece, flag + tag)
    return out


def fill(label, n):
    return hashlib.shake_256(label.encode()).digest(n)


def b64(b):
    return base64.b64encode(b).decode()


chunks, passwords = [], []
for algorithm, nonce in ("AES-256-GCM", 8), ("ChaCha20-Poly1305", 8), ("XChaCha20-Poly1305", 20):
    for size in 0, 1, 16383, 16384, 16385, 32768, 32769:
        key, n = fill("key", 32), fill("nonce", nonce)
        sealed = seal(algorithm, key, n, fill("plaintext", size))
        chunks.append({"algorithm": algorithm, "key": b64(key), "nonce": b64(n), "size": size, "sealed_size": len(sealed),
                       "sha256": hashlib.sha256(sealed).hexdigest()})
for scheme, algorithm in (0, "AES-256-GCM"), (1, "ChaCha20-Poly1305"), (2, "AES-256-GCM"):
    password, salt, n = "access:secret", fill("salt", 32), fill("nonce", 8)
    if scheme == 2:
        key = PBKDF2HMAC(hashes.SHA256(), 32, salt, 8192).derive(password.encode())
    else:
        key = Argon2id(salt=salt, length=32, iterations=1, lanes=4, memory_cost=65536).derive(password.encode())
    plain = '{"version":%d}' % scheme
    passwords.append({"scheme": scheme, "password": password, "plaintext": plain,
                      "blob": b64(salt + bytes([scheme]) + n + seal(algorithm, key, n, plain.encode()))})

json.dump({"chunks": chunks, "passwords": passwords}, open("vectors.json", "w"), indent=1)
