// Package keyfile reads what KES stores of a key, in every form that it ever
// had, and writes the newest one.
//
// Start with [Parse] for the value itself, [ParseExport] for what another key
// store's client printed around it, [Read] for a file of a KES key store, and
// [Key.Append] to write. The value is the same in every key store that KES had;
// in its fs store it is the content of a file that has the key's name:
//
//	{"bytes": base64(key)}                                         2019 to 2022
//	  + "algorithm", "created_at", "created_by"                    2022
//	  + "version": "v1"; no algorithm means AES256                 2023
//	base64 of a protobuf, with a second key for HMACs              written here
//
// Guaranteed: input is bounded by [MaxSize], nothing is allocated by a length
// that input names, and neither errors nor [Key] print a byte of a value. Not
// guaranteed: that a key is the one that was stored. No form has a checksum.
//
// Source: KES spec section 6.
package keyfile

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/objseal/objseal/internal/dek"
	"github.com/objseal/objseal/internal/secret"
)

// MaxSize is the longest value that is looked at, as KES has it (KES spec
// section 6.2). Genuine ones have about 200 bytes.
const MaxSize = 1 << 20

// ErrFormat: the value is none of a KES key.
var ErrFormat = errors.New("it is not a KES key")

// Key is a key as KES stores it. Its name is the place where it is stored.
type Key struct {
	Secret    secret.Key
	Algorithm dek.Algorithm
	HMAC      secret.Key // not used for data keys; zero in files from before 2024
	CreatedAt time.Time  // in UTC; zero if not known
	CreatedBy string     // identity of the creator; empty if not known
}

// Wipe overwrites the keys.
func (k Key) Wipe() {
	k.Secret.Wipe()
	k.HMAC.Wipe()
}

// Parse reads a value of any generation: what is JSON is one of those until
// 2024, everything else must be base64 (KES spec section 6.1).
func Parse(value []byte) (Key, error) {
	if len(value) > MaxSize {
		return Key{}, tooLarge()
	}
	if json.Valid(value) {
		return parseJSON(value)
	}
	message := make([]byte, base64.StdEncoding.DecodedLen(len(value)))
	defer clear(message)
	n, err := base64.StdEncoding.Decode(message, value) // skips line breaks
	if err != nil {
		return Key{}, fmt.Errorf("%w: neither JSON nor base64", ErrFormat)
	}
	return parseMessage(message[:n])
}

func tooLarge() error { return fmt.Errorf("%w: it has more than %d bytes", ErrFormat, MaxSize) }

// What encoding/json has to say is not passed on: it quotes what it read.
var errJSON = fmt.Errorf("%w: the JSON is not that of a key", ErrFormat)

func parseJSON(value []byte) (Key, error) {
	var v struct {
		Bytes     []byte
		Algorithm string
		CreatedAt time.Time `json:"created_at"`
		CreatedBy string    `json:"created_by"`
	}
	defer func() { clear(v.Bytes) }()
	if json.Unmarshal(value, &v) != nil {
		return Key{}, errJSON
	}
	k := Key{Algorithm: dek.AES256, CreatedBy: v.CreatedBy}
	var err error
	if k.CreatedAt, err = (timestamp{v.CreatedAt.Unix(), int64(v.CreatedAt.Nanosecond())}).time(); err != nil {
		return Key{}, err
	}
	if v.Algorithm != "" {
		var ok bool
		if k.Algorithm, ok = dek.ParseAlgorithm(v.Algorithm); !ok {
			return Key{}, fmt.Errorf("%w: its algorithm is unknown", ErrFormat)
		}
	}
	if k.Secret, err = newSecret(v.Bytes); err != nil {
		return Key{}, err
	}
	return k, nil
}

func newSecret(b []byte) (secret.Key, error) {
	k, err := secret.New(b)
	if err != nil {
		return secret.Key{}, fmt.Errorf("%w: the key in it has %d bytes, not %d", ErrFormat, len(b), secret.Size)
	}
	return k, nil
}

var errNoHMAC = errors.New("keyfile: a key without an HMAC key is not written: servers of 2025 fail on it")

// Append appends the value in the newest form, byte for byte what KES writes.
// A key without an HMAC key is an error: a server that reads it drops the
// connection (KES spec section 6.1).
func (k Key) Append(dst []byte) ([]byte, error) {
	if k.HMAC.IsZero() {
		return dst, errNoHMAC
	}
	if k.Secret.IsZero() || k.Algorithm != dek.AES256 && k.Algorithm != dek.ChaCha20 || !utf8.ValidString(k.CreatedBy) {
		return dst, fmt.Errorf("keyfile: not a key that can be written")
	}
	message := k.appendMessage(make([]byte, 0, 2*(secret.Size+8)+32+len(k.CreatedBy)))
	defer clear(message)
	return base64.StdEncoding.AppendEncode(dst, message), nil
}
