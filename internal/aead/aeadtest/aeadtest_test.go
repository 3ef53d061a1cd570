package aeadtest

import (
	"bytes"
	"crypto/fips140"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"unsafe"

	"github.com/objseal/objseal/internal/aead"
)

// A call is what a defect can see of a call that is over, and spoil.
type call struct {
	key               *[aead.KeySize]byte
	sealing           bool
	out, in           []byte // out is what was to be written
	nonce, associated []byte
	sameMemory, ok    bool
}

// spoiled is a correct implementation with a defect.
type spoiled struct {
	Subject
	key    *[aead.KeySize]byte
	defect func(c *call)
}

func (s *spoiled) after(sealing bool, out, in, nonce, associated []byte, ok bool) bool {
	c := &call{key: s.key, sealing: sealing, out: out, in: in, nonce: nonce, associated: associated, ok: ok}
	c.sameMemory = len(out) > 0 && len(in) > 0 && &out[0] == &in[0]
	s.defect(c)
	return c.ok
}

func (s *spoiled) Seal(dst, nonce, plaintext, associated []byte) []byte {
	out := s.Subject.Seal(dst, nonce, plaintext, associated)
	s.after(true, out[len(dst):], plaintext, nonce, associated, true)
	return out
}

func (s *spoiled) Open(dst, nonce, ciphertext, associated []byte) ([]byte, error) {
	out, err := s.Subject.Open(dst, nonce, ciphertext, associated)
	size := len(ciphertext) - aead.TagSize
	if err == nil {
		s.after(false, out[len(dst):], ciphertext, nonce, associated, true)
		return out, nil
	}
	if size >= 0 && cap(dst)-len(dst) >= size {
		out = dst[:len(dst)+size]
		if s.after(false, out[len(dst):], ciphertext, nonce, associated, false) {
			return out, nil
		}
	}
	return nil, err
}

func (s *spoiled) SealPackage(dst, src []byte, nonce *[aead.NonceSize]byte, associated *[4]byte) {
	s.Subject.SealPackage(dst, src, nonce, associated)
	s.after(true, dst, src, nonce[:], associated[:], true)
}

func (s *spoiled) OpenPackage(dst, src []byte, nonce *[aead.NonceSize]byte, associated *[4]byte) bool {
	ok := s.Subject.OpenPackage(dst, src, nonce, associated)
	return s.after(false, dst, src, nonce[:], associated[:], ok)
}

// Implementations whose defect is in what they do before.
type (
	dropsFront   struct{ Subject }
	anyOverlap   struct{ Subject }
	panicsOnNil  struct{ Subject }
	sharesNonces struct {
		Subject
		nonce atomic.Pointer[[]byte]
	}
	laxTag    struct{ Subject }
	laxZeros  struct{ Subject }
	otherSize struct{ Subject }
	keepsPart struct{ Subject }
	shortPart struct{ Subject }
)

// OpenPackagePart leaves a forgery as it was.
func (s keepsPart) OpenPackagePart(src []byte, nonce *[aead.NonceSize]byte, associated *[4]byte, from, to int) (int, int, bool) {
	was := bytes.Clone(src)
	begin, end, ok := s.Subject.OpenPackagePart(src, nonce, associated, from, to)
	if !ok {
		copy(src, was)
	}
	return begin, end, ok
}

// OpenPackagePart does not decrypt the last byte of a part.
func (s shortPart) OpenPackagePart(src []byte, nonce *[aead.NonceSize]byte, associated *[4]byte, from, to int) (int, int, bool) {
	was := bytes.Clone(src)
	begin, end, ok := s.Subject.OpenPackagePart(src, nonce, associated, from, to)
	if ok && to > from {
		src[to-1] = was[to-1]
	}
	return begin, end, ok
}

func (s dropsFront) Seal(dst, nonce, plaintext, associated []byte) []byte {
	out := s.Subject.Seal(dst, nonce, plaintext, associated)
	if cap(dst) < len(out) {
		clear(out[:len(dst)])
	}
	return out
}

func (s anyOverlap) SealPackage(dst, src []byte, nonce *[aead.NonceSize]byte, associated *[4]byte) {
	s.Subject.SealPackage(dst, bytes.Clone(src), nonce, associated)
}

func (s panicsOnNil) Seal(dst, nonce, plaintext, associated []byte) []byte {
	_ = &plaintext[0]
	return s.Subject.Seal(dst, nonce, plaintext, associated)
}

func (s *sharesNonces) Seal(dst, nonce, plaintext, associated []byte) []byte {
	s.nonce.Store(&nonce)
	runtime.Gosched()
	return s.Subject.Seal(dst, *s.nonce.Load(), plaintext, associated)
}

// OpenPackage does not look at the last bit of the tag.
func (s laxTag) OpenPackage(dst, src []byte, nonce *[aead.NonceSize]byte, associated *[4]byte) bool {
	other := bytes.Clone(src)
	other[len(src)-1] ^= 0x80
	return s.Subject.OpenPackage(dst, src, nonce, associated) || s.Subject.OpenPackage(dst, other, nonce, associated)
}

// Open does not hash the length of the associated data: a zero is as if not there.
func (s laxZeros) Open(dst, nonce, ciphertext, associated []byte) ([]byte, error) {
	out, err := s.Subject.Open(dst, nonce, ciphertext, associated)
	if n := len(associated); err != nil && n > 0 && associated[n-1] == 0 {
		return s.Subject.Open(dst, nonce, ciphertext, associated[:n-1])
	}
	return out, err
}

func (s otherSize) OpenPackage(dst, src []byte, nonce *[aead.NonceSize]byte, associated *[4]byte) bool {
	return s.Subject.OpenPackage(dst[:max(0, len(src)-aead.TagSize)], src, nonce, associated)
}

// after spoils what is done.
func after(defect func(*call)) func(Subject, *[aead.KeySize]byte) Subject {
	return func(s Subject, key *[aead.KeySize]byte) Subject { return &spoiled{s, key, defect} }
}

// touch reads the byte at a distance of i from the beginning of b.
func touch(b []byte, i int) {
	if len(b) > 0 {
		sink = *(*byte)(unsafe.Add(unsafe.Pointer(&b[0]), i))
	}
}

var sink byte

// TestDefects has implementations with a defect each, which the check named
// must find: a suite that passes everything proves nothing.
func TestDefects(t *testing.T) {
	if fips140.Enforced() {
		t.Skip("in FIPS 140-only mode Go seals with no nonce but its own")
	}
	at := func(b []byte) uintptr { return uintptr(unsafe.Pointer(unsafe.SliceData(b))) & 63 }
	last := func(b []byte) *byte { return &b[len(b)-1] }
	type defect struct {
		check, name string
		spoil       func(s Subject, key *[aead.KeySize]byte) Subject
	}
	defects := []defect{
		{"every length", "wrong tag at one length", after(func(c *call) {
			if c.sealing && len(c.in) == 4097 {
				*last(c.out) ^= 1
			}
		})},
		{"every length", "opens wrongly at one length", after(func(c *call) {
			if !c.sealing && len(c.in) == 1023 {
				*last(c.out) ^= 1
			}
		})},
		{"every length", "writes behind dst", after(func(c *call) {
			if n := len(c.out); cap(c.out) >= n+64 && n%64 > 40 {
				c.out[:n+64][n] = 0
			}
		})},
		{"every length", "writes far behind dst", after(func(c *call) {
			if n := len(c.out); cap(c.out) >= n+512 && n%64 > 40 {
				c.out[:n+512][n+511] = 0
			}
		})},
		{"every length", "writes to its input", after(func(c *call) {
			if len(c.in) > 3000 && !c.sameMemory {
				c.in[100] ^= 4
			}
		})},
		{"every length", "wrong in place", after(func(c *call) {
			if len(c.in) > 512 && c.sameMemory {
				c.out[0] ^= 4
			}
		})},
		{"every length", "writes to the nonce", after(func(c *call) { c.nonce[11]++ })},
		{"long", "loses a carry of the block counter", after(func(c *call) {
			if c.sealing && len(c.out) > 1<<20 {
				c.out[1<<20-16] ^= 1
			}
		})},
		{"long", "wrong at one length where long ones begin", after(func(c *call) {
			if c.sealing && len(c.in) == 16<<10+517 {
				*last(c.out) ^= 1
			}
		})},
		{"long", "loses what is left of the last piece", after(func(c *call) {
			if c.sealing && len(c.in) > maxPackage && len(c.in)%16 != 0 {
				c.out[len(c.in)-1] ^= 1
			}
		})},
		{"alignment", "wrong for one alignment", after(func(c *call) {
			if c.sealing && at(c.in) == 63 && at(c.out) == 1 {
				*last(c.out) ^= 1
			}
		})},
		{"associated data", "wrong for one size of associated data", after(func(c *call) {
			if c.sealing && len(c.associated) == 48 {
				*last(c.out) ^= 1
			}
		})},
		{"keys and contents", "wrong for one key", after(func(c *call) {
			if c.key[0] == 0xff && c.key[31] == 0xff && c.sealing {
				*last(c.out) ^= 1
			}
		})},
		{"keys and contents", "loses a carry where all bits are set", after(func(c *call) {
			if c.sealing && len(c.in) > 64 && bytes.Count(c.out[:64], []byte{0xff}) == 64 {
				*last(c.out) ^= 1
			}
		})},
		{"nonces", "counts into the nonce", after(func(c *call) {
			if c.sealing && len(c.in) > 4096 && bytes.HasSuffix(c.nonce, []byte{0xff, 0xff, 0xff, 0xff}) {
				c.out[4090] ^= 1
			}
		})},
		{"append", "forgets what it appends to", func(s Subject, _ *[aead.KeySize]byte) Subject { return dropsFront{s} }},
		{"empty", "reads where nothing is", func(s Subject, _ *[aead.KeySize]byte) Subject { return panicsOnNil{s} }},
		{"refused calls", "lets buffers overlap", func(s Subject, _ *[aead.KeySize]byte) Subject { return anyOverlap{s} }},
		{"refused calls", "lets sizes differ", func(s Subject, _ *[aead.KeySize]byte) Subject { return otherSize{s} }},
		{"forgeries", "compares 127 bits", func(s Subject, _ *[aead.KeySize]byte) Subject { return laxTag{s} }},
		{"forgeries", "does not hash a length", func(s Subject, _ *[aead.KeySize]byte) Subject { return laxZeros{s} }},
		{"forgeries", "leaves a byte", after(func(c *call) {
			if !c.sealing && !c.ok && len(c.out) == 513 {
				c.out[512] = 1
			}
		})},
		{"short texts", "is wrong behind 64 bytes", after(func(c *call) {
			if c.sealing && len(c.in) > 64 {
				c.out[len(c.out)-1] ^= 1
			}
		})},
		{"parts", "leaves a forgery", func(s Subject, _ *[aead.KeySize]byte) Subject { return keepsPart{s} }},
		{"parts", "leaves the last byte", func(s Subject, _ *[aead.KeySize]byte) Subject { return shortPart{s} }},
		{"goroutines", "keeps a nonce in the key", func(s Subject, _ *[aead.KeySize]byte) Subject { return &sharesNonces{Subject: s} }},
	}
	if len(guardChecks) > 0 {
		for name, f := range map[string]func(c *call){
			"reads behind its input":       func(c *call) { touch(c.in, len(c.in)) },
			"reads in front of its input":  func(c *call) { touch(c.in, -1) },
			"reads behind its output":      func(c *call) { touch(c.out, len(c.out)) },
			"reads in front of its output": func(c *call) { touch(c.out, -16) },
			"reads 16 bytes of a nonce":    func(c *call) { touch(c.nonce, 15) },
			"reads 16 bytes of four":       func(c *call) { touch(c.associated, max(15, len(c.associated)-1)) },
			"reads behind what is in place": func(c *call) {
				if c.sameMemory {
					touch(c.out, max(len(c.in), len(c.out)))
				}
			},
			"reads in front of the nonce":      func(c *call) { touch(c.nonce, -4) },
			"reads behind where nothing opens": func(c *call) { touch(c.in, len(c.in)-map[bool]int{true: 1}[c.ok]) },
		} {
			defects = append(defects, defect{"guard pages", name, after(f)})
		}
		defects = append(defects, defect{"guard pages", "reads behind the key", func(s Subject, key *[aead.KeySize]byte) Subject {
			touch(key[:], aead.KeySize)
			return s
		}})
	}
	for _, c := range aead.Ciphers {
		sound := Kernel(c, aead.Generic)
		for _, test := range defects {
			t.Run(c.String()+"/"+test.check+"/"+test.name, func(t *testing.T) {
				i := slices.IndexFunc(Checks, func(c Check) bool { return c.Name == test.check })
				n, failures := Checks[i].Run(Implementation{
					New:       func(key *[aead.KeySize]byte, longest int) Subject { return test.spoil(sound.New(key, longest), key) },
					Reference: sound.Reference,
				}, Seed(t))
				if len(failures) == 0 {
					t.Errorf("not found in %d cases", n)
				} else {
					first, _, _ := strings.Cut(failures[0], "\n")
					t.Logf("%d cases, then: %s", n, first)
				}
			})
		}
	}
}
