package aeadtest

import (
	"bytes"
	"slices"

	"github.com/objseal/objseal/internal/aead"
)

// A sealed message is what a forger starts from and what the receiver gets.
type message struct{ nonce, text, associated []byte }

// set makes m a copy of o, in the memory that m has.
func (m *message) set(o message) {
	m.nonce = append(m.nonce[:0], o.nonce...)
	m.text = append(m.text[:0], o.text...)
	m.associated = append(m.associated[:0], o.associated...)
}

// forgeries changes sealed messages, and what they are opened with, in every way
// that fits.
func forgeries(r *checker) {
	k, other := r.randomPair(), r.randomPair()
	var forged message
	for _, n := range []int{0, 1, 15, 16, 17, 63, 64, 100, 255, 256, 257, 511, 512, 513, 1000, 1024, 4096, 4200, maxPackage, 128<<10 + 5} {
		for _, size := range []int{4, 0, 1, 20, 64, 600} {
			if (n > 1024 || few) && size != 4 && (size != 20 || few && n > 5000) {
				continue // as each costs more
			}
			m := message{nonce: r.bytes(aead.NonceSize), associated: r.bytes(size)}
			m.text = k.reference.Seal(nil, m.nonce, r.bytes(n), m.associated)
			try := func(what string, change func(m *message)) {
				forged.set(m)
				change(&forged)
				s := r.anyShapes()
				r.refuse(k, what, forged.nonce, forged.text, forged.associated, s[r.cases&1])
			}
			r.changedBytes(n, size, try)
			r.otherLengths(m, try)

			try("a message under another key", func(m *message) {
				m.text = other.reference.Seal(nil, m.nonce, m.text[:n], m.associated)
			})
			try("the tag of another message", func(m *message) {
				copy(m.text[n:], k.reference.Seal(nil, m.nonce, r.bytes(n+1), m.associated)[n+1:])
			})
			for _, block := range []int{1, 16, 64, 256, 512, 4096} {
				if n < 2*block || bytes.Equal(m.text[:block], m.text[block:2*block]) {
					continue
				}
				try("two blocks in each other's place", func(m *message) {
					a, b := m.text[:block], m.text[block:2*block]
					m.text = slices.Concat(b, a, m.text[2*block:])
				})
			}
		}
	}
}

// changedBytes changes every bit of the tag and of the nonce, of short texts
// too and some of long ones; and several bytes at once.
func (r *checker) changedBytes(n, size int, try func(string, func(m *message))) {
	for _, part := range []struct {
		what string
		of   func(m *message) []byte
		size int
		most int
	}{
		{"a changed tag", func(m *message) []byte { return m.text[n:] }, aead.TagSize, 128},
		{"a changed ciphertext", func(m *message) []byte { return m.text[:n] }, n, 1 << 18 / (n + 1024)},
		{"a changed nonce", func(m *message) []byte { return m.nonce }, aead.NonceSize, 96},
		{"changed associated data", func(m *message) []byte { return m.associated }, size, 128},
	} {
		if part.size == 0 {
			continue
		}
		for bit := range min(part.most, 8*part.size) {
			if part.most < 8*part.size {
				bit = r.rng.IntN(8 * part.size)
			}
			try(part.what, func(m *message) { part.of(m)[bit/8] ^= 1 << (bit % 8) })
		}
		for i := range part.size {
			if i == 16 {
				break
			}
			// The same difference in several bytes would be gone from their sum.
			d := byte(1 + r.rng.IntN(255))
			for _, j := range []int{(i + 1) % part.size, (i + 4) % part.size, (i + 8) % part.size, (i + 16) % part.size} {
				if j != i {
					try(part.what, func(m *message) { b := part.of(m); b[i] ^= d; b[j] ^= d })
				}
			}
		}
		try(part.what, func(m *message) {
			for b, i := part.of(m), 0; i < len(b); i++ {
				b[i] ^= 0xff
			}
		})
	}
}

// otherLengths cuts messages short, makes them longer, and moves bytes from one
// part to another. As both hashes pad with zeros, zeros are what is added too.
func (r *checker) otherLengths(m message, try func(string, func(m *message))) {
	n := len(m.text) - aead.TagSize
	skip := func(d int) bool { return n > 5000 && d%8 > 1 }
	for d := 1; d <= min(len(m.text), 40); d++ {
		if skip(d) {
			continue
		}
		try("a truncated message", func(m *message) { m.text = m.text[:len(m.text)-d] })
		try("a message without its beginning", func(m *message) { m.text = m.text[d:] })
	}
	for d := 1; d <= 40; d++ {
		if skip(d) {
			continue
		}
		for _, more := range [][]byte{make([]byte, d), r.bytes(d)} {
			try("a message with more behind it", func(m *message) { m.text = append(m.text, more...) })
			try("a message with more before it", func(m *message) { m.text = slices.Concat(more, m.text) })
			try("a message with more before its tag", func(m *message) { m.text = slices.Insert(m.text, n, more...) })
			try("more associated data", func(m *message) { m.associated = append(m.associated, more...) })
		}
		if d <= n {
			try("a message with less before its tag", func(m *message) { m.text = slices.Delete(m.text, n-d, n) })
			try("ciphertext moved to associated data", func(m *message) {
				m.associated, m.text = append(m.associated, m.text[:d]...), m.text[d:]
			})
		}
		if d <= len(m.associated) {
			try("less associated data", func(m *message) { m.associated = m.associated[:len(m.associated)-d] })
			try("associated data moved to ciphertext", func(m *message) {
				at := len(m.associated) - d
				m.text, m.associated = slices.Concat(m.associated[at:], m.text), m.associated[:at]
			})
		}
	}
	for _, zero := range []int{0, 16, n} {
		if zero <= n {
			try("zeros", func(m *message) { clear(m.text[zero:]) })
		}
	}
}
