package kes

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/objseal/objseal/internal/dek"
	"github.com/objseal/objseal/kms"
)

// ErrAnswerLost says that a call that is not safe to repeat failed on the way
// at first, its answer lost, and may be what did it. CreateKey and ImportKey
// return it beside kms.ErrKeyExists, DeleteKey beside kms.ErrKeyNotFound.
var ErrAnswerLost = errors.New("an earlier try of this call failed on the way and may have made it")

// CreateKey makes a new key. If a server's answer is lost, another try finds
// out whether the key exists; if it does, the error is kms.ErrKeyExists and
// [ErrAnswerLost]: this call made it, or somebody else did before.
func (b *Backend) CreateKey(ctx context.Context, keyID string) error {
	if err := checkName(keyID); err != nil {
		return err
	}
	return b.do(ctx, call{op: opCreate, name: keyID})
}

// ImportKey stores a key of 32 bytes that came from elsewhere, for "AES256" or
// "ChaCha20"; an empty algorithm means AES256. A server that knows no such
// algorithm, as one in FIPS mode, answers of kind kms.ErrUnsupported. See
// CreateKey for a lost answer: whether the key that exists is this one only a
// decryption shows.
func (b *Backend) ImportKey(ctx context.Context, keyID string, key []byte, algorithm string) error {
	if err := checkName(keyID); err != nil {
		return err
	}
	if len(key) != kms.DataKeySize {
		return fmt.Errorf("%w: the key to import has %d", kms.ErrKeySize, len(key))
	}
	alg, ok := dek.ParseAlgorithm(cmp.Or(algorithm, "AES256"))
	if !ok {
		return fmt.Errorf("%w: the algorithm %s", kms.ErrUnsupported, kms.QuoteKeyID(algorithm))
	}
	// Each generation of servers reads its two fields and ignores the others
	// (KES spec section 1.8).
	body := struct {
		Key       []byte `json:"key"`
		Cipher    string `json:"cipher"`
		Bytes     []byte `json:"bytes"`
		Algorithm string `json:"algorithm"`
	}{key, alg.String(), key, oldAlgorithms[alg]}
	return b.do(ctx, call{op: opImport, name: keyID, in: body})
}

// oldAlgorithms are the names that servers before 2023-10 know.
var oldAlgorithms = map[dek.Algorithm]string{dek.AES256: "AES256-GCM_SHA256", dek.ChaCha20: "XCHACHA20-POLY1305"}

// DeleteKey removes a key. Everything that it sealed is lost with it, and so it
// is if a key of that name is made again. If a server's answer is lost, and
// another try finds no key, the error is kms.ErrKeyNotFound and [ErrAnswerLost].
// Servers go on with keys that they have in memory for some minutes.
func (b *Backend) DeleteKey(ctx context.Context, keyID string) error {
	if err := checkName(keyID); err != nil {
		return err
	}
	return b.do(ctx, call{op: opDelete, name: keyID})
}

// DescribeKey tells what the server knows of a key without using it.
func (b *Backend) DescribeKey(ctx context.Context, keyID string) (info kms.KeyInfo, err error) {
	if keyID, err = b.keyID(keyID); err != nil {
		return kms.KeyInfo{}, err
	}
	err = b.do(ctx, call{
		op: opDescribe, name: keyID, limit: maxAnswer,
		out: func(a answer) error {
			var v struct {
				Algorithm string
				CreatedAt time.Time `json:"created_at"`
				CreatedBy string    `json:"created_by"`
			}
			if err := a.decode(&v); err != nil {
				return err
			}
			info = kms.KeyInfo{Name: keyID, Algorithm: printable(v.Algorithm), CreatedAt: v.CreatedAt, CreatedBy: printable(v.CreatedBy)}
			if alg, ok := dek.ParseAlgorithm(v.Algorithm); ok {
				info.Algorithm = alg.String()
			}
			return nil
		},
	})
	return info, err
}

// HMAC returns the HMAC-SHA256 of a message, of at most about 700 KB, under the
// HMAC key that every key of servers since v0.24 has. Servers before, and keys
// from before, have none: kms.ErrUnsupported.
func (b *Backend) HMAC(ctx context.Context, keyID string, message []byte) (mac []byte, err error) {
	if keyID, err = b.keyID(keyID); err != nil {
		return nil, err
	}
	body := struct {
		Message []byte `json:"message"`
	}{message}
	err = b.do(ctx, call{
		op: opHMAC, name: keyID, in: body, limit: maxAnswer,
		out: func(a answer) error {
			var v struct{ HMAC []byte }
			if err := a.decode(&v); err != nil {
				return err
			}
			if len(v.HMAC) != 32 {
				return fmt.Errorf("%w: an HMAC-SHA256 of %d bytes", errBadAnswer, len(v.HMAC))
			}
			mac = v.HMAC
			return nil
		},
	})
	return mac, err
}
