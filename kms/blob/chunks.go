package blob

import (
	"encoding/binary"
	"slices"

	"golang.org/x/crypto/chacha20"

	"github.com/objseal/objseal/internal/aead"
	"github.com/objseal/objseal/kms"
)

const (
	chunkSize       = 16 << 10 // of plaintext
	sealedChunkSize = chunkSize + aead.TagSize
	counterSize     = 4
	xNonceSize      = chacha20.NonceSizeX - counterSize

	more, last = 0x00, 0x80 // the flag byte of a chunk
)

// chunks is the stream of chunks under one key (secure-io, SSE spec section
// 14.1): chunk i has the nonce prefix‖LE32(i), i from 1, and as associated data
// its flag and the tag that an empty message has under counter 0.
type chunks struct {
	key        *aead.Key // behind a pointer: it is large
	nonce      [aead.NonceSize]byte
	associated [1 + aead.TagSize]byte
}

// begin makes c ready for key, which has 32 bytes, and a nonce of the length
// that parse has checked.
func (c *chunks) begin(a Algorithm, key, nonce []byte) error {
	cipher := aead.ChaCha20Poly1305
	if a == AES256GCM {
		cipher = aead.AES256GCM
	}
	k := [aead.KeySize]byte(key)
	defer clear(k[:])
	if a == XChaCha20Poly1305 {
		// XChaCha20: a sub-key from the front of the nonce; the rest of it, after
		// four zero bytes, is a nonce of ChaCha20.
		sub, err := chacha20.HChaCha20(key, nonce[:16])
		if err != nil {
			return err
		}
		copy(k[:], sub)
		clear(sub)
		copy(c.nonce[4:], nonce[16:])
	} else {
		copy(c.nonce[:], nonce)
	}
	c.key = new(aead.Key)
	c.key.Init(cipher, cipher.Best(), &k)
	c.key.Seal(c.associated[1:1], c.nonce[:], nil, nil)
	return nil
}

func (c *chunks) end() { c.key.Wipe() }

// next sets nonce and associated data for the chunk after the one before. There
// are at most MaxSize/chunkSize of them, so the counter does not wrap.
func (c *chunks) next(flag byte) {
	counter := c.nonce[aead.NonceSize-counterSize:]
	binary.LittleEndian.PutUint32(counter, binary.LittleEndian.Uint32(counter)+1)
	c.associated[0] = flag
}

// sealedSize is how long n bytes get: the empty stream has one chunk too.
func sealedSize(n int) int {
	return n + max(1, (n+chunkSize-1)/chunkSize)*aead.TagSize
}

// seal appends the stream of plaintext to dst.
func (c *chunks) seal(dst, plaintext []byte) []byte {
	for len(plaintext) > chunkSize {
		c.next(more)
		dst = c.key.Seal(dst, c.nonce[:], plaintext[:chunkSize], c.associated[:])
		plaintext = plaintext[chunkSize:]
	}
	c.next(last)
	return c.key.Seal(dst, c.nonce[:], plaintext, c.associated[:])
}

// open returns the plaintext of the stream that is the whole of sealed.
func (c *chunks) open(sealed []byte) ([]byte, error) {
	full, rest := len(sealed)/sealedChunkSize, len(sealed)%sealedChunkSize
	switch {
	case len(sealed) > MaxSize/chunkSize*sealedChunkSize:
		return nil, ErrTooLarge
	case rest == 0 && full == 0, 0 < rest && rest < aead.TagSize, rest == aead.TagSize && full > 0:
		return nil, &FormatError{"its last chunk is cut"}
	}
	plaintext := make([]byte, 0, full*chunkSize+max(0, rest-aead.TagSize))
	for len(sealed) > 0 {
		n, flag := min(len(sealed), sealedChunkSize), byte(more)
		if n == len(sealed) {
			flag = last
		}
		c.next(flag)
		out, err := c.key.Open(plaintext, c.nonce[:], sealed[:n], c.associated[:])
		if err != nil {
			clear(plaintext)
			return nil, kms.ErrNotAuthentic
		}
		plaintext, sealed = out, sealed[n:]
	}
	return slices.Clip(plaintext), nil
}
