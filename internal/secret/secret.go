// Package secret holds the one type behind every key of objseal: 32 bytes that
// never print themselves.
//
// The key types of the public packages (kms.DataKey, kes.APIKey,
// sse.CustomerKey …) embed [Key]; each is a type of its own so that one role
// cannot be passed for another. What a Key guarantees:
//
//   - no verb of fmt, no slog handler, no JSON or text encoder and no
//     reflection-based printer shows its bytes, also when the key sits in an
//     unexported field of a struct that is printed (fmt calls no methods
//     there; it meets pointers and prints an address);
//   - == does not compile: [Key.Equal] takes the same time wherever the keys
//     differ;
//   - copies of a Key share one memory, so one [Key.Wipe] is enough.
//
// What it cannot guarantee: Go may have copied the bytes while they were on a
// stack that moved, and the operating system may have swapped them out.
package secret

import (
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"log/slog"
)

// Size is the length of every key, in bytes.
const Size = 32

// ErrSize is returned by [New] for a key that is not [Size] bytes long.
var ErrSize = errors.New("secret: a key has 32 bytes")

const redacted = "[redacted]"

// Key is a 32-byte secret. The zero Key holds no bytes and equals nothing.
type Key struct {
	_ [0]func() // not comparable: == would leak how many leading bytes agree

	// Behind two pointers, because fmt, given a verb that does not fit a
	// pointer (%s, %q, %c …), follows one and prints the array it finds.
	p **[Size]byte
}

// memory is what a Key points into: one allocation for both steps.
type memory struct {
	at    *[Size]byte
	bytes [Size]byte
}

func newKey() Key {
	m := new(memory)
	m.at = &m.bytes
	return Key{p: &m.at}
}

// New returns a Key with a copy of b, which must have [Size] bytes.
func New(b []byte) (Key, error) {
	if len(b) != Size {
		return Key{}, ErrSize
	}
	k := newKey()
	copy(k.Bytes(), b)
	return k, nil
}

// Make returns a Key of zero bytes, to be filled through Bytes.
func Make() Key { return newKey() }

// Random returns a new Key from the system's random generator.
func Random() Key {
	k := newKey()
	rand.Read(k.Bytes())
	return k
}

// Bytes returns the key's own memory, not a copy; nil for the zero Key.
// It goes to a cipher or a MAC, never into an error or a log.
func (k Key) Bytes() []byte {
	if k.p == nil {
		return nil
	}
	return (*k.p)[:]
}

// IsZero reports whether k holds no bytes at all.
func (k Key) IsZero() bool { return k.p == nil }

// Equal compares two keys in constant time. A zero Key equals nothing.
func (k Key) Equal(other Key) bool {
	return k.p != nil && other.p != nil && subtle.ConstantTimeCompare(k.Bytes(), other.Bytes()) == 1
}

// Clone returns a key of the same bytes in a memory of its own.
func (k Key) Clone() Key {
	if k.p == nil {
		return Key{}
	}
	c := newKey()
	copy(c.Bytes(), k.Bytes())
	return c
}

// Wipe overwrites the bytes, for this Key and for every copy of it.
func (k Key) Wipe() {
	clear(k.Bytes())
}

func (Key) String() string   { return redacted }
func (Key) GoString() string { return redacted }

// Format prints the same for every verb: %x and %d reach into arrays otherwise.
func (Key) Format(s fmt.State, _ rune) { io.WriteString(s, redacted) }

func (Key) LogValue() slog.Value         { return slog.StringValue(redacted) }
func (Key) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }
func (Key) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// MarshalBinary fails: whoever stores a key this way would lose it.
func (Key) MarshalBinary() ([]byte, error) {
	return nil, errors.New("secret: a key is not marshalled")
}
