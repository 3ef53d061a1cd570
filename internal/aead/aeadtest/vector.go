package aeadtest

import (
	"bytes"
	"testing"

	"github.com/objseal/objseal/internal/aead"
)

// A Vector is a known answer.
type Vector struct {
	Name                              string
	Key, Nonce, Plaintext, Associated []byte
	Ciphertext, Tag                   []byte
	Valid                             bool // else it must be refused
}

// Test sends the vector through every call that it fits, in both directions, of
// the implementation and of its reference. Tag may be shorter than ours, as GCM
// allows: then it is what a full one begins with.
func (v Vector) Test(t *testing.T, impl Implementation) {
	t.Helper()
	r := &checker{impl: impl}
	k := r.pair((*[aead.KeySize]byte)(v.Key))
	full := k.reference.Seal(nil, v.Nonce, v.Plaintext, v.Associated)
	n := len(v.Plaintext)
	right := bytes.Equal(full[:n], v.Ciphertext) && bytes.HasPrefix(full[n:], v.Tag)
	switch {
	case right != v.Valid:
		t.Errorf("%s: valid is %v, but for the reference %v", v.Name, v.Valid, right)
	case v.Valid:
		r.exchangeAll(k, v.Nonce, v.Plaintext, v.Associated)
	default:
		sealed := append(bytes.Clone(v.Ciphertext), v.Tag...)
		for _, s := range []shape{{}, {inPlace: true}, {src: 13, dst: 5}} {
			r.refuse(k, "a vector that is not valid", v.Nonce, sealed, v.Associated, s)
		}
	}
	for _, f := range r.failures {
		t.Errorf("%s: %s", v.Name, f)
	}
}

// exchangeAll is exchange in shapes that are not random.
func (r *checker) exchangeAll(k *pair, nonce, plain, associated []byte) {
	r.exchange(k, nonce, plain, associated, shape{}, shape{inPlace: true}, shape{src: 13, dst: 5, associated: 1, before: 3})
}
