package stream_test

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/objseal/objseal/stream"
)

// endless gives plaintext for ever.
type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

// After its first package, a stream allocates nothing. (x/crypto does, once a package,
// where it has no assembly; so this is with AES.)
func TestAllocationsPerPackage(t *testing.T) {
	const runs = 20
	o := &stream.Options{Cipher: stream.AES256GCM}
	sealed := seal(t, plaintext((runs+10)*stream.PayloadSize), o)
	plain := plaintext(stream.PayloadSize)
	small, large := make([]byte, 32<<10), make([]byte, stream.PackageSize)

	read := func(r io.Reader, p []byte) func() {
		return func() {
			for n := 0; n < stream.PayloadSize; {
				n += must(r.Read(p))
			}
		}
	}
	ew := must(stream.NewEncryptWriter(testKey, io.Discard, o))
	dw := must(stream.NewDecryptWriter(testKey, io.Discard, o))
	halves := must(stream.NewDecryptWriter(testKey, io.Discard, o))
	rest, restHalves := sealed, sealed
	ra, _ := newReaderAt(t, sealed, nil)
	for name, f := range map[string]func(){
		"EncryptReader, small buffer": read(must(stream.NewEncryptReader(testKey, endless{}, o)), small),
		"EncryptReader, large buffer": read(must(stream.NewEncryptReader(testKey, endless{}, o)), large),
		"DecryptReader, small buffer": read(must(stream.NewDecryptReader(testKey, &stepReader{sealed, 1 << 20}, nil)), small),
		"DecryptReader, large buffer": read(must(stream.NewDecryptReader(testKey, &stepReader{sealed, 1 << 20}, nil)), large),
		"EncryptWriter":               func() { must(ew.Write(plain)) },
		"DecryptWriter": func() {
			must(dw.Write(rest[:stream.PackageSize]))
			rest = rest[stream.PackageSize:]
		},
		"DecryptWriter, halves": func() {
			must(halves.Write(restHalves[:stream.PackageSize/2]))
			must(halves.Write(restHalves[stream.PackageSize/2 : stream.PackageSize]))
			restHalves = restHalves[stream.PackageSize:]
		},
		"ReadSeeker": read(ra.ReadSeeker(), small),
	} {
		f()
		if n := testing.AllocsPerRun(runs, f); n > 0 {
			t.Errorf("%s: %v allocations a package", name, n)
		}
	}
}

// Small objects do not take 64 KiB, and nothing is held after the end.
func TestBuffersHeld(t *testing.T) {
	type held interface{ BufferSize() int }
	check := func(what string, h held, want int) {
		t.Helper()
		if got := h.BufferSize(); got != want {
			t.Errorf("%s: %d bytes held, want %d", what, got, want)
		}
	}
	const small, large = 4<<10 + stream.Overhead, stream.PackageSize
	fresh := func(what string, h held) { // it may have that of a stream before it
		t.Helper()
		if got := h.BufferSize(); got > small {
			t.Errorf("%s: %d bytes held, want %d at most", what, got, small)
		}
	}
	for _, tt := range []struct{ size, want int }{{1, small}, {1000, small}, {4096, small}, {4097, large}, {10000, large}, {65537, large}} {
		plain := plaintext(tt.size)
		sealed := seal(t, plain, nil)
		p := make([]byte, 100)

		er := must(stream.NewEncryptReader(testKey, bytes.NewReader(plain), nil))
		fresh("new EncryptReader", er)
		must(er.Read(p[:1]))
		check(fmt.Sprintf("EncryptReader of %d", tt.size), er, tt.want)
		must(io.Copy(io.Discard, hide{Reader: er}))
		check("EncryptReader at the end", er, 0)

		dr := must(stream.NewDecryptReader(testKey, bytes.NewReader(sealed), nil))
		fresh("new DecryptReader", dr)
		if tt.size > 1 {
			must(dr.Read(p[:1]))
			check(fmt.Sprintf("DecryptReader of %d", tt.size), dr, tt.want)
		}
		must(io.Copy(io.Discard, hide{Reader: dr}))
		check("DecryptReader at the end", dr, 0)

		ew := must(stream.NewEncryptWriter(testKey, io.Discard, nil))
		fresh("new EncryptWriter", ew)
		must(ew.Write(plain))
		if tt.size <= stream.PayloadSize {
			check(fmt.Sprintf("EncryptWriter of %d", tt.size), ew, tt.want)
		}
		ew.Close()
		check("closed EncryptWriter", ew, 0)

		dw := must(stream.NewDecryptWriter(testKey, io.Discard, nil))
		fresh("new DecryptWriter", dw)
		must(dw.Write(sealed[:len(sealed)-1]))
		want := large
		if len(sealed)-1 <= small {
			want = small
		}
		check(fmt.Sprintf("DecryptWriter of %d", tt.size), dw, want)
		dw.Close()
		check("closed DecryptWriter", dw, 0)
	}
}

// What goes back to the pools holds no plaintext, however a stream ended.
func TestPooledBuffersHoldNoPlaintext(t *testing.T) {
	marker := []byte("<the secret of the package>")
	found := map[string]bool{} // what was seen to give a buffer back
	check := func(what string, run func()) {
		for range 5 { // the race detector has pools forget things
			stream.TakePooled(2)
			run()
			for _, b := range stream.TakePooled(2) {
				found[what] = found[what] || len(bytes.Trim(b, "\x00")) > 0
				if bytes.Contains(b, marker) {
					t.Fatalf("%s: a pooled buffer of %d bytes holds plaintext", what, len(b))
				}
			}
		}
	}
	for _, size := range []int{100, 4000, 5000, 70000, 140000} {
		plain := bytes.Repeat(marker, size/len(marker)+1)[:size]
		sealed := seal(t, plain, nil)
		legacy := sealLegacy(stream.AES256GCM, plain, 1000, 0)
		damaged := bytes.Clone(sealed)
		damaged[len(damaged)-1] ^= 1
		for _, step := range []int{50, 1000, 1 << 20} {
			for _, e := range encrypters {
				check(e.name, func() { must(e.run(testKey, plain, nil, step)) })
			}
			for _, d := range decrypters {
				check(d.name, func() { must(d.run(testKey, sealed, nil, step)) })
				check(d.name, func() { d.run(testKey, sealed[:len(sealed)-1], nil, step) })
				check(d.name, func() { d.run(testKey, damaged, nil, step) })
				check(d.name, func() { d.run(testKey, legacy, &stream.Options{AllowLegacy: true}, step) })
			}
			check("range", func() {
				r := must(stream.PackageRange(int64(size), int64(size/3), int64(size/5)))
				in := bytes.NewReader(sealed[r.Offset : r.Offset+r.Length])
				readAll(must(stream.NewRangeReader(testKey, in, r, nil)), step)
				ra := must(stream.NewDecryptReaderAt(testKey, bytes.NewReader(sealed), int64(len(sealed)), nil))
				must(ra.ReadAt(make([]byte, size/5), int64(size/3)))
			})
			check("EncryptReader of a broken source", func() {
				readAll(must(stream.NewEncryptReader(testKey, &dataErrReader{plain, errIO}, nil)), step)
			})
		}
		check("EncryptWriter of a broken source", func() {
			must(stream.NewEncryptWriter(testKey, io.Discard, nil)).ReadFrom(&dataErrReader{plain, errIO})
		})
	}
	// The final package, authentic, where the range says that the stream goes on.
	whole := seal(t, bytes.Repeat(marker, stream.PayloadSize/len(marker)+1)[:stream.PayloadSize], nil)
	check("range that goes on", func() {
		r := must(stream.NewRangeReader(testKey, bytes.NewReader(whole), stream.Range{Length: stream.PackageSize, Skip: 100, N: 5000}, nil))
		if n, err := r.Read(make([]byte, 100)); n > 0 || !errors.Is(err, stream.ErrTampered) {
			t.Fatalf("range that goes on: %d bytes, error %v", n, err)
		}
	})
	if !found["range"] {
		t.Error("range: no used buffer came back: this test has seen nothing")
	}
	for _, e := range encrypters[1:] { // Seal and Open need no buffer
		if !found[e.name] {
			t.Errorf("%s: no used buffer came back: this test has seen nothing", e.name)
		}
	}
	for _, d := range decrypters[1:] {
		if !found[d.name] {
			t.Errorf("%s: no used buffer came back: this test has seen nothing", d.name)
		}
	}
}

// Nor does the caller's buffer hold plaintext where ciphertext should be.
func TestEncryptReaderClearsBuffer(t *testing.T) {
	for _, size := range []int{1, 1000, stream.PayloadSize, stream.PayloadSize + 1000} {
		r := must(stream.NewEncryptReader(testKey, &dataErrReader{bytes.Repeat([]byte("secret"), size)[:size], errIO}, nil))
		p := bytes.Repeat([]byte{0xee}, 2*stream.PackageSize)
		n, err := r.Read(p)
		if err == nil {
			copy(p, poisonPage)
			n, err = r.Read(p)
		}
		if n != 0 || err != errIO || !poisoned(p) {
			t.Errorf("size=%d: %d, %v, buffer clean %v", size, n, err, poisoned(p))
		}
	}
}

// Readers and writers forget their key at the end, and at a failure.
func TestKeysAreWiped(t *testing.T) {
	sealed := seal(t, plaintext(70000), nil)
	er := must(stream.NewEncryptReader(testKey, bytes.NewReader(sealed), nil))
	ew := must(stream.NewEncryptWriter(testKey, io.Discard, nil))
	if !er.HoldsKey() || !ew.HoldsKey() {
		t.Error("a new EncryptReader or EncryptWriter has no key")
	}
	must(er.Read(make([]byte, 70000)))
	must(er.Read(make([]byte, 1)))
	if er.HoldsKey() {
		t.Error("EncryptReader keeps its key behind the final package")
	}
	must(io.ReadAll(er))
	ew.Close()
	if er.HoldsKey() || ew.HoldsKey() {
		t.Error("EncryptReader or EncryptWriter keeps its key")
	}
	for _, in := range [][]byte{sealed, sealed[:65568], sealed[:1000], append(bytes.Clone(sealed), 0)} {
		r := must(stream.NewDecryptReader(testKey, bytes.NewReader(in), nil))
		if !r.HoldsKey() {
			t.Error("a new DecryptReader has no key")
		}
		readAll(r, 1000)
		if r.HoldsKey() {
			t.Errorf("DecryptReader of %d bytes keeps its key", len(in))
		}
		w := must(stream.NewDecryptWriter(testKey, io.Discard, nil))
		writeAll(w, in, 1000)
		w.Close()
		if w.HoldsKey() {
			t.Errorf("DecryptWriter of %d bytes keeps its key", len(in))
		}
	}
}

// No way of printing shows a key, nor what a cipher keeps of it: AES has it in its
// round keys, as words of 32 bits.
func TestKeysAreNotPrinted(t *testing.T) {
	key := sha256ctr("key", stream.KeySize)
	var traces []string
	for _, part := range [][]byte{key[:8], key[24:]} {
		text := base64.RawStdEncoding.EncodeToString(part)
		traces = append(traces, string(part), text[:len(text)-1],
			strings.Trim(fmt.Sprint(part), "[]"), strings.TrimSuffix(fmt.Sprintf("%#v", part), "}")[len("[]byte{"):])
		traces = append(traces, fmt.Sprintf("%x", part), fmt.Sprintf("%X", part))
		for _, order := range []binary.ByteOrder{binary.BigEndian, binary.LittleEndian} {
			words := []uint32{order.Uint32(part), order.Uint32(part[4:])}
			traces = append(traces, strings.Trim(fmt.Sprint(words), "[]"), strings.Trim(fmt.Sprintf("%x", words), "[]"),
				strings.Trim(fmt.Sprintf("%X", words), "[]"), strings.TrimSuffix(fmt.Sprintf("%#v", words), "}")[len("[]uint32{"):])
		}
	}
	for _, c := range ciphers {
		o := &stream.Options{Cipher: c}
		sealed := must(stream.Seal(nil, key, plaintext(100000), o))
		er := must(stream.NewEncryptReader(key, endless{}, o))
		dr := must(stream.NewDecryptReader(key, bytes.NewReader(sealed), nil))
		ew := must(stream.NewEncryptWriter(key, io.Discard, o))
		dw := must(stream.NewDecryptWriter(key, io.Discard, nil))
		ra := must(stream.NewDecryptReaderAt(key, bytes.NewReader(sealed), int64(len(sealed)), nil))
		rs := ra.ReadSeeker()
		p := make([]byte, 10)
		must(er.Read(p))
		must(dr.Read(p))
		must(ew.Write(p))
		must(dw.Write(sealed[:70000]))
		must(ra.ReadAt(p, 0))
		must(rs.Read(p))
		_, wrong := stream.Open(nil, plaintext(32), sealed, nil)
		_, short := stream.Open(nil, key[:31], sealed, nil)
		inside := struct{ v any }{*dr}
		for _, v := range []any{er, dr, ew, dw, ra, rs, *er, *dr, *ew, *dw, inside, wrong, short} {
			for _, verb := range []string{"%v", "%+v", "%#v", "%x", "%X", "%s", "%q", "%d", "%c", "%t"} {
				text := fmt.Sprintf(verb, v)
				for _, trace := range traces {
					if strings.Contains(text, trace) {
						t.Errorf("%v: %s of %T shows the key", c, verb, v)
					}
				}
			}
		}
	}
}

// The key given is copied, and Open and Seal append.
func TestBuffersOfTheCaller(t *testing.T) {
	plain := plaintext(70000)
	key := bytes.Clone(testKey)
	sealed := seal(t, plain, nil)

	dr := must(stream.NewDecryptReader(key, bytes.NewReader(sealed), nil))
	ra := must(stream.NewDecryptReaderAt(key, bytes.NewReader(sealed), int64(len(sealed)), nil))
	clear(key)
	equal(t, "DecryptReader", must(io.ReadAll(dr)), plain)
	equal(t, "DecryptReaderAt", must(io.ReadAll(ra.ReadSeeker())), plain)

	head := []byte("head")
	for _, room := range []int{0, 1, 70000, 70096, 200000} {
		dst := append(make([]byte, 0, len(head)+room), head...)
		out := must(stream.Seal(dst, testKey, plain, nil))
		if !bytes.HasPrefix(out, head) || room >= 70064 != (&out[0] == &dst[0]) {
			t.Errorf("Seal with room for %d bytes: reallocated %v", room, &out[0] != &dst[0])
		}
		equal(t, "Open", must(stream.Open(nil, testKey, out[len(head):], nil)), plain)
		out = must(stream.Open(dst, testKey, sealed, nil))
		if room >= 70000 != (&out[0] == &dst[0]) {
			t.Errorf("Open with room for %d bytes: reallocated %v", room, &out[0] != &dst[0])
		}
		equal(t, "Open", out, concat(head, plain))
	}
	// In and out may be the same memory.
	for shift := range 40 {
		b := make([]byte, 80000)
		copy(b[shift:], plain)
		out := must(stream.Seal(b[:0], testKey, b[shift:shift+len(plain)], nil))
		equal(t, "Seal in place", must(stream.Open(nil, testKey, out, nil)), plain)
		copy(b[shift:], sealed)
		equal(t, "Open in place", must(stream.Open(b[:0], testKey, b[shift:shift+len(sealed)], nil)), plain)
	}
	equal(t, "a source is not changed", must(stream.Open(nil, testKey, sealed, nil)), plain)
}
