// Package formats has the other formats of sealed streams that a Go program could
// choose, for package peers; apart from it, because what they bring along at the
// start of a process does not belong to what is compared in cmd/filecopy.
package formats

import (
	"crypto/rand"
	"io"

	"filippo.io/age"
	"github.com/tink-crypto/tink-go/v2/streamingaead/subtle"

	"github.com/objseal/objseal/bench/peers"
	"github.com/objseal/objseal/internal/aead"
)

// Streams are Tink and age, each with its one cipher.
var Streams = []peers.Stream{
	{Name: "tink", Ciphers: []aead.Cipher{aead.AES256GCM}, New: newTink},
	{Name: "age", Ciphers: []aead.Cipher{aead.ChaCha20Poly1305}, New: newAge},
}

// newTink is Tink's streaming AEAD AES256_GCM_HKDF_1MB. Its own key derivation
// makes a key per stream, so that one primitive serves them all, as Tink intends.
func newTink(_ aead.Cipher, key *[peers.KeySize]byte, _ int) peers.Codec {
	t, err := subtle.NewAESGCMHKDF(key[:], "SHA256", peers.KeySize, 1<<20, 0)
	if err != nil {
		panic("formats: internal error: " + err.Error())
	}
	return peers.Codec{
		EncryptWriter: func(dst io.Writer) (io.WriteCloser, error) { return t.NewEncryptingWriter(dst, nil) },
		DecryptReader: func(src io.Reader) (io.Reader, error) { return t.NewDecryptingReader(src, nil) },
	}
}

func newAge(_ aead.Cipher, key *[peers.KeySize]byte, _ int) peers.Codec {
	w := newWrapped(key)
	return peers.Codec{
		EncryptReader: func(src io.Reader) (io.Reader, error) { return age.EncryptReader(src, w) },
		DecryptReader: func(src io.Reader) (io.Reader, error) { return age.Decrypt(src, w) },
		EncryptWriter: func(dst io.Writer) (io.WriteCloser, error) { return age.Encrypt(dst, w) },
	}
}

// wrapped is an age recipient and identity that seals the file key under a
// symmetric key: next to X25519 and scrypt it costs nothing, so that what is
// measured is age's stream.
type wrapped struct{ aeadKey *aead.Key }

const wrappedType = "objseal-bench-symmetric"

func newWrapped(key *[peers.KeySize]byte) wrapped {
	k := new(aead.Key)
	k.Init(aead.ChaCha20Poly1305, aead.Generic, key)
	return wrapped{k}
}

func (w wrapped) Wrap(fileKey []byte) ([]*age.Stanza, error) {
	nonce := make([]byte, aead.NonceSize, aead.NonceSize+len(fileKey)+aead.TagSize)
	rand.Read(nonce)
	return []*age.Stanza{{Type: wrappedType, Body: w.aeadKey.Seal(nonce, nonce, fileKey, nil)}}, nil
}

func (w wrapped) Unwrap(stanzas []*age.Stanza) ([]byte, error) {
	for _, s := range stanzas {
		if s.Type == wrappedType && len(s.Body) > aead.NonceSize {
			return w.aeadKey.Open(nil, s.Body[:aead.NonceSize], s.Body[aead.NonceSize:], nil)
		}
	}
	return nil, age.ErrIncorrectIdentity
}
