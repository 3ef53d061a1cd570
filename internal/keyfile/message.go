package keyfile

import (
	"encoding/binary"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/objseal/objseal/internal/dek"
	"github.com/objseal/objseal/internal/secret"
)

// The little of the protobuf encoding that the message of KES spec section 6.1
// needs, by hand: its packages are large, and copy what they read into memory
// that cannot be wiped.
const (
	typeVarint = 0
	typeI64    = 1
	typeBytes  = 2
	typeI32    = 5

	fieldSecret    = 1
	fieldHMAC      = 2
	fieldCreatedAt = 3
	fieldCreatedBy = 4

	hashSHA256 = 1
)

var errMessage = fmt.Errorf("%w: the base64 does not hold the message of a key", ErrFormat)

// field is one field of a message: a number or bytes, by its type.
type field struct {
	number uint64
	kind   byte
	value  uint64
	bytes  []byte
}

func (f field) is(number uint64, kind byte) bool { return f.number == number && f.kind == kind }

// fields calls do for every field of a message, in order.
func fields(b []byte, do func(field) error) error {
	for len(b) > 0 {
		tag, n := binary.Uvarint(b)
		if n <= 0 || tag>>3 == 0 || tag>>3 >= 1<<29 {
			return errMessage
		}
		b = b[n:]
		f := field{number: tag >> 3, kind: byte(tag & 7)}
		switch f.kind {
		case typeVarint, typeBytes:
			if f.value, n = binary.Uvarint(b); n <= 0 {
				return errMessage
			}
			if b = b[n:]; f.kind == typeVarint {
				break
			}
			if f.value > uint64(len(b)) {
				return errMessage
			}
			f.bytes, b = b[:f.value], b[f.value:]
		case typeI64, typeI32:
			n = 8
			if f.kind == typeI32 {
				n = 4
			}
			if len(b) < n {
				return errMessage
			}
			b = b[n:]
		default:
			return errMessage
		}
		if err := do(f); err != nil {
			return err
		}
	}
	return nil
}

// parseMessage reads the message. Fields that it does not know are skipped, as
// the encoding has it; what is there twice is merged, the last value wins.
func parseMessage(b []byte) (Key, error) {
	var k Key
	var key, hmac typedKey
	var at timestamp
	hasHMAC, hasTime := false, false
	err := fields(b, func(f field) error {
		switch {
		case f.is(fieldSecret, typeBytes):
			return key.parse(f.bytes)
		case f.is(fieldHMAC, typeBytes):
			hasHMAC = true
			return hmac.parse(f.bytes)
		case f.is(fieldCreatedAt, typeBytes):
			hasTime = true
			return at.parse(f.bytes)
		case f.is(fieldCreatedBy, typeBytes):
			if !utf8.Valid(f.bytes) {
				return errMessage
			}
			k.CreatedBy = string(f.bytes)
		}
		return nil
	})
	if err != nil {
		return Key{}, err
	}
	if hasTime {
		if k.CreatedAt, err = at.time(); err != nil {
			return Key{}, err
		}
	}
	switch key.kind {
	case uint64(dek.AES256), uint64(dek.ChaCha20):
		k.Algorithm = dek.Algorithm(key.kind)
	default:
		return Key{}, fmt.Errorf("%w: its algorithm is unknown", ErrFormat)
	}
	if hasHMAC {
		if hmac.kind != hashSHA256 {
			return Key{}, fmt.Errorf("%w: the hash of its HMAC key is unknown", ErrFormat)
		}
		if k.HMAC, err = newSecret(hmac.bytes); err != nil {
			return Key{}, err
		}
	}
	if k.Secret, err = newSecret(key.bytes); err != nil {
		k.HMAC.Wipe()
		return Key{}, err
	}
	return k, nil
}

// typedKey is a message of a key's bytes and what they are for.
type typedKey struct {
	bytes []byte
	kind  uint64
}

func (t *typedKey) parse(b []byte) error {
	return fields(b, func(f field) error {
		switch {
		case f.is(1, typeBytes):
			t.bytes = f.bytes
		case f.is(2, typeVarint):
			t.kind = f.value
		}
		return nil
	})
}

// timestamp is google.protobuf.Timestamp.
type timestamp struct{ seconds, nanos int64 }

func (t *timestamp) parse(b []byte) error {
	return fields(b, func(f field) error {
		switch {
		case f.is(1, typeVarint):
			t.seconds = int64(f.value)
		case f.is(2, typeVarint):
			t.nanos = int64(f.value)
		}
		return nil
	})
}

// Seconds of the years 1 to 9999, which is what the message allows.
const minSeconds, maxSeconds = -62135596800, 253402300799

func (t timestamp) time() (time.Time, error) {
	if t.seconds < minSeconds || t.seconds > maxSeconds || t.nanos < 0 || t.nanos >= int64(time.Second) {
		return time.Time{}, fmt.Errorf("%w: its time of creation is none", ErrFormat)
	}
	return time.Unix(t.seconds, t.nanos).UTC(), nil
}

// appendMessage writes the fields in the order of their numbers and leaves out
// zeros, as KES does.
func (k Key) appendMessage(b []byte) []byte {
	b = appendTypedKey(b, fieldSecret, k.Secret, uint64(k.Algorithm))
	b = appendTypedKey(b, fieldHMAC, k.HMAC, hashSHA256)

	var at [2 + 2*binary.MaxVarintLen64]byte
	created := appendVarint(at[:0], 1, uint64(k.CreatedAt.Unix()))
	created = appendVarint(created, 2, uint64(k.CreatedAt.Nanosecond()))
	b = appendBytes(b, fieldCreatedAt, created)
	if k.CreatedBy != "" {
		b = appendBytes(b, fieldCreatedBy, []byte(k.CreatedBy))
	}
	return b
}

func appendTypedKey(b []byte, number byte, key secret.Key, kind uint64) []byte {
	var inner [2 + secret.Size + 2]byte
	defer clear(inner[:])
	m := appendBytes(inner[:0], 1, key.Bytes())
	return appendBytes(b, number, appendVarint(m, 2, kind))
}

func appendBytes(b []byte, number byte, value []byte) []byte {
	b = append(b, number<<3|typeBytes)
	b = binary.AppendUvarint(b, uint64(len(value)))
	return append(b, value...)
}

func appendVarint(b []byte, number byte, value uint64) []byte {
	if value == 0 {
		return b
	}
	b = append(b, number<<3|typeVarint)
	return binary.AppendUvarint(b, value)
}
