// Package datakey seals data keys under keys that this process holds: package
// dek in the terms of package kms, for the backends that need no server.
package datakey

import (
	"crypto/fips140"
	"errors"
	"fmt"

	"github.com/objseal/objseal/internal/dek"
	"github.com/objseal/objseal/kms"
)

// Seal returns plaintext sealed under key, which has dek.KeySize bytes, bound to
// ad. It fails with kms.ErrUnsupported where FIPS 140 forbids the algorithm.
func Seal(key []byte, alg dek.Algorithm, plaintext, ad []byte) ([]byte, error) {
	if alg == dek.ChaCha20 && fips140.Enforced() {
		return nil, fmt.Errorf("%w: ChaCha20 is not allowed in FIPS 140-only mode", kms.ErrUnsupported)
	}
	return dek.Seal(nil, key, alg, plaintext, ad), nil
}

// Open opens a data key in any form that KES ever wrote. It fails with
// kms.ErrNotAuthentic, and with kms.ErrKeySize for what is authentic and no
// data key.
func Open(key []byte, alg dek.Algorithm, ciphertext, ad []byte) (kms.DataKey, error) {
	plaintext, err := dek.Open(nil, key, alg, ciphertext, ad)
	if errors.Is(err, dek.ErrNotAuthentic) {
		return kms.DataKey{}, kms.ErrNotAuthentic
	} else if err != nil {
		return kms.DataKey{}, err
	}
	defer clear(plaintext)
	return kms.NewDataKey(plaintext)
}
