package static

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"errors"
	"fmt"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/objseal/objseal/internal/dek"
	"github.com/objseal/objseal/internal/keyfile"
	"github.com/objseal/objseal/internal/secret"
	"github.com/objseal/objseal/kms"
)

// ErrKeyFormat is returned for a text without the colon that ends a key's name.
var ErrKeyFormat = errors.New("kms: invalid secret key format")

// KeyLengthError is returned for a key that does not have 32 bytes; it is the
// number of bytes that it has. It is a kms.ErrKeySize.
type KeyLengthError int

func (e KeyLengthError) Error() string { return fmt.Sprintf("kms: invalid key length %d", int(e)) }

func (KeyLengthError) Unwrap() error { return kms.ErrKeySize }

// Key is a named secret key. It never prints its bytes; only Text shows them.
type Key struct {
	secret.Key
	Name string

	// What a key that a KES server made knows of itself; zero for others.
	algorithm dek.Algorithm // 0 is AES256
	createdAt time.Time
	createdBy string
}

// cipher is the algorithm that the key seals with. It opens with any.
func (k Key) cipher() dek.Algorithm { return cmp.Or(k.algorithm, dek.AES256) }

// NewKey returns a random Key. The name must be one that a KES server takes
// too (see kms.ValidName), so that the key can move to one; else
// kms.ErrInvalidKeyID.
func NewKey(name string) (Key, error) {
	if !kms.ValidName(name) {
		return Key{}, fmt.Errorf("%w: %s", kms.ErrInvalidKeyID, kms.QuoteKeyID(name))
	}
	return Key{Key: secret.Random(), Name: name}, nil
}

// ParseKey reads "name:base64", the form of MINIO_KMS_SECRET_KEY (SSE spec
// section 13): everything up to the first colon is the name, possibly empty,
// the rest is 32 bytes in padded standard base64, in which line breaks are
// ignored.
//
// Errors: ErrKeyFormat, KeyLengthError, base64.CorruptInputError, and
// kms.ErrInvalidKeyID for a name that is not UTF-8 or has a control character, by
// which no [kms.Client] could ask for the key. None shows a part of the text.
func ParseKey(text string) (Key, error) {
	b := []byte(text)
	defer clear(b)
	return parseKey(b)
}

// ParseExportedKey reads "name:value" with a key that was exported from a key
// store of KES: the value is what the KES server put there, of any generation, be
// it inside of what the client of Vault, AWS, GCP, Azure, KeySecure, Fortanix or
// Entrust prints around it (KES spec section 6), or base64 as in ParseKey.
//
// Errors: those of ParseKey, or one that says what the value is not. None shows
// a part of the text.
func ParseExportedKey(text string) (Key, error) {
	b := []byte(text)
	defer clear(b)
	return parseExportedKey(b)
}

func parseExportedKey(text []byte) (Key, error) {
	key, err := parseKey(text)
	name, value, _ := bytes.Cut(text, []byte{':'})
	if err == nil || errors.Is(err, ErrKeyFormat) || errors.Is(err, kms.ErrInvalidKeyID) {
		return key, err
	}
	k, errExport := keyfile.ParseExport(value)
	k.HMAC.Wipe()
	switch {
	case errExport == nil:
		return Key{Key: k.Secret, Name: string(name), algorithm: k.Algorithm, createdAt: k.CreatedAt, createdBy: k.CreatedBy}, nil
	case errors.Is(errExport, keyfile.ErrTransit) || bytes.ContainsAny(value, "{\""):
		return Key{}, errExport
	}
	return Key{}, err
}

// parseKey does not keep text, so that the caller can wipe it.
func parseKey(text []byte) (Key, error) {
	name, encoded, ok := bytes.Cut(text, []byte{':'})
	if !ok {
		return Key{}, ErrKeyFormat
	}
	if !utf8.Valid(name) || bytes.ContainsFunc(name, unicode.IsControl) {
		return Key{}, fmt.Errorf("%w: it is not UTF-8 or holds a control character", kms.ErrInvalidKeyID)
	}
	raw := make([]byte, base64.StdEncoding.DecodedLen(len(encoded)))
	defer clear(raw)
	n, err := base64.StdEncoding.Decode(raw, encoded)
	if err != nil {
		return Key{}, err
	}
	key, err := secret.New(raw[:n])
	if err != nil {
		return Key{}, KeyLengthError(n)
	}
	return Key{Key: key, Name: string(name)}, nil
}

// Text returns "name:base64", which ParseKey reads; what an exported key knows
// besides is lost, and not needed to open what it sealed. It is the one way out for
// the secret: into a key file or to a person who asked for it.
func (k Key) Text() string {
	return k.Name + ":" + base64.StdEncoding.EncodeToString(k.Bytes())
}
