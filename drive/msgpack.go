package drive

import (
	"fmt"

	"github.com/tinylib/msgp/msgp"
)

// unpacker reads MessagePack from a slice that somebody else may have written.
// Its error stays. Nothing is allocated on the word of a header: counts are
// held to the bytes that are there.
type unpacker struct {
	b   []byte
	err error
}

func unpack[T any](u *unpacker, read func([]byte) (T, []byte, error)) (v T) {
	if u.err != nil {
		return v
	}
	v, rest, err := read(u.b)
	if err != nil {
		u.fail(err.Error())
		var zero T
		return zero
	}
	u.b = rest
	return v
}

func (u *unpacker) fail(what string) {
	if u.err == nil {
		u.err = fmt.Errorf("%w: %s", ErrDamaged, what)
	}
	u.b = nil
}

func (u *unpacker) int() int64   { return unpack(u, msgp.ReadInt64Bytes) }
func (u *unpacker) uint() uint64 { return unpack(u, msgp.ReadUint64Bytes) }

// bytes returns a part of the input, not a copy. Strings and bin are both taken.
func (u *unpacker) bytes() []byte {
	if u.err == nil && msgp.NextType(u.b) == msgp.StrType {
		return unpack(u, msgp.ReadStringZC)
	}
	return unpack(u, msgp.ReadBytesZC)
}

func (u *unpacker) string() string { return string(u.bytes()) }

// null reads a nil if there is one.
func (u *unpacker) null() bool {
	if u.err != nil || !msgp.IsNil(u.b) {
		return false
	}
	u.b = u.b[1:]
	return true
}

// array returns the number of elements that follow, 0 for nil.
func (u *unpacker) array() int {
	if u.null() {
		return 0
	}
	return u.count(unpack(u, msgp.ReadArrayHeaderBytes), 1)
}

// fields returns the number of pairs that follow, 0 for nil.
func (u *unpacker) fields() int {
	if u.null() {
		return 0
	}
	return u.count(unpack(u, msgp.ReadMapHeaderBytes), 2)
}

func (u *unpacker) count(n uint32, least int) int {
	if int64(n)*int64(least) > int64(len(u.b)) {
		u.fail(fmt.Sprintf("%d elements in %d bytes", n, len(u.b)))
		return 0
	}
	return int(n)
}

// raw returns the bytes of the next value, whatever it is.
func (u *unpacker) raw() []byte {
	before := u.b
	u.skip()
	return before[:len(before)-len(u.b)]
}

func (u *unpacker) skip() {
	unpack(u, func(b []byte) (struct{}, []byte, error) {
		rest, err := msgp.Skip(b)
		return struct{}{}, rest, err
	})
}

// ints reads an array of integers, or nil.
func (u *unpacker) ints() []int64 {
	n := u.array()
	if n == 0 {
		return nil
	}
	v := make([]int64, n)
	for i := range v {
		v[i] = u.int()
	}
	return v
}

// pairs reads a map of text to text or bytes into m, which may be nil, and returns it.
func (u *unpacker) pairs(m map[string]string, accept func(key string) bool) map[string]string {
	n := u.fields()
	for range n {
		key := u.string()
		if u.null() {
			continue
		}
		value := u.string()
		if u.err != nil {
			break
		}
		if accept(key) {
			if m == nil {
				m = make(map[string]string, n)
			}
			m[key] = value
		}
	}
	return m
}

// uuidText is the text of a uuid as servers write it.
func uuidText(id [16]byte) string {
	return fmt.Sprintf("%x-%x-%x-%x-%x", id[:4], id[4:6], id[6:8], id[8:10], id[10:])
}

func (u *unpacker) uuid() (id [16]byte) {
	b := u.bytes()
	if u.err == nil && len(b) != len(id) {
		u.fail(fmt.Sprintf("an id of %d bytes", len(b)))
	}
	copy(id[:], b)
	return id
}
