package stream_test

import (
	"bytes"
	"testing"

	"github.com/minio/sio"
	"github.com/objseal/objseal/stream"
)

// FuzzOpen: whatever the input, nothing panics, and all ways to open a stream
// accept the same ones and give the same plaintext. As nobody guesses a tag,
// the input is edits, four bytes each, of a stream of size bytes of plaintext; or,
// with size 0, raw bytes.
func FuzzOpen(f *testing.F) {
	f.Fuzz(func(t *testing.T, input []byte, size uint32, flags byte) {
		o := &stream.Options{
			AllowEmpty:  flags&1 != 0,
			AllowLegacy: flags&2 != 0,
			Cipher:      ciphers[flags>>2&1],
		}
		if flags&8 != 0 {
			o.Sequence = 1<<32 - 2
		}
		sealed := input
		if size %= 3*stream.PayloadSize + 2; size > 0 {
			defer stream.FixNonce([12]byte{1, 2, 3})()
			plain := plaintext(int(size))
			if flags&16 != 0 {
				sealed = sealLegacy(o.Cipher, plain, max(1000, int(flags)<<8), o.Sequence)
			} else if o.Sequence == 0 {
				sealed = seal(t, plain, o)
			} else {
				var out bytes.Buffer // beyond number 2^32-1 too
				must(sio.Encrypt(&out, bytes.NewReader(plain), sioConfig(o.Cipher, o.Sequence)))
				sealed = out.Bytes()
			}
			sealed = edit(sealed, input)
		}
		want, wantErr := stream.Open(nil, testKey, sealed, o)
		legacy := len(sealed) > 0 && sealed[0] == sio.Version10
		for _, d := range decrypters {
			for _, step := range []int{4096, 65568} {
				got, err := d.run(testKey, sealed, o, step)
				if (err == nil) != (wantErr == nil) {
					if legacy && err != nil && (d.name == "DecryptReaderAt" || d.name == "ReadSeeker" || d.name == "RangeReader") {
						continue // packages that are not full
					}
					t.Fatalf("%s,step=%d: %v, but Open: %v", d.name, step, err, wantErr)
				}
				if err == nil {
					equal(t, d.name, got, want)
				}
			}
		}
		if wantErr == nil && !legacy && len(sealed) > 0 {
			// What is accepted is what a writer makes: the same again.
			size, err := stream.EncryptedSize(int64(len(want)))
			if err != nil || size != int64(len(sealed)) {
				t.Fatalf("%d bytes of ciphertext for %d of plaintext, want %d, %v", len(sealed), len(want), size, err)
			}
		}
	})
}

// edit applies to a copy of b edits of four bytes: what, where (two bytes, from either
// end), and with which value.
func edit(b, edits []byte) []byte {
	b = bytes.Clone(b)
	for ; len(edits) >= 4 && len(b) > 0; edits = edits[4:] {
		at := (int(edits[1])<<8 | int(edits[2])) % len(b)
		if edits[0]&1 != 0 {
			at = len(b) - 1 - at
		}
		switch v := edits[3]; edits[0] >> 1 % 8 {
		case 0:
			b[at] ^= v
		case 1:
			b = b[:at]
		case 2:
			b = b[at:]
		case 3:
			b = append(b, make([]byte, v)...)
		case 4: // a package out of place
			k := int(v) % (len(b)/stream.PackageSize + 1) * stream.PackageSize
			pkg := b[k:min(k+stream.PackageSize, len(b))]
			if len(b) < 1<<19 {
				b = concat(b[:at], pkg, b[at:])
			}
		case 5:
			k := int(v) % (len(b)/stream.PackageSize + 1) * stream.PackageSize
			b = concat(b[:k], b[min(k+stream.PackageSize, len(b)):])
		}
	}
	return b
}

// FuzzRoundTrip: sio opens what we seal, and we open what sio seals.
func FuzzRoundTrip(f *testing.F) {
	f.Fuzz(func(t *testing.T, pattern []byte, size, sequence, step uint32, flags byte) {
		size %= 3*stream.PayloadSize + 2
		sequence = min(sequence, 1<<32-4)
		n := 100 + int(step%(3*stream.PayloadSize))
		if len(pattern) == 0 {
			pattern = []byte{0}
		}
		plain := bytes.Repeat(pattern, int(size)/len(pattern)+1)[:size]
		c := ciphers[flags&1]
		o := &stream.Options{Cipher: c, Sequence: sequence, AllowEmpty: true}
		var theirs bytes.Buffer
		must(sio.Encrypt(&theirs, bytes.NewReader(plain), sioConfig(c, sequence)))
		for _, d := range decrypters {
			got, err := d.run(testKey, theirs.Bytes(), o, n)
			if err != nil {
				t.Fatalf("%s of what sio made: %v", d.name, err)
			}
			equal(t, d.name, got, plain)
		}
		for _, e := range encrypters {
			ours, err := e.run(testKey, plain, o, n)
			if err != nil {
				t.Fatalf("%s: %v", e.name, err)
			}
			cfg := sioConfig(c, sequence)
			cfg.MinVersion = 0 // for the empty stream
			var got bytes.Buffer
			if _, err := sio.Decrypt(&got, bytes.NewReader(ours), cfg); err != nil {
				t.Fatalf("sio on what %s made: %v", e.name, err)
			}
			equal(t, e.name, got.Bytes(), plain)
		}
	})
}

// FuzzPackageRange: the same as looking at every package.
func FuzzPackageRange(f *testing.F) {
	f.Fuzz(func(t *testing.T, size, off, n int64) {
		got, err := stream.PackageRange(size, off, n)
		valid := size >= 0 && size <= 1<<48 && off >= 0 && n >= 0 && off <= size && n <= size-off
		if valid != (err == nil) {
			t.Fatalf("PackageRange(%d, %d, %d): %v", size, off, n, err)
		}
		if !valid || size > 1<<28 {
			return
		}
		if want := bruteRange(size, off, n); got != want {
			t.Fatalf("PackageRange(%d, %d, %d) = %+v; want %+v", size, off, n, got, want)
		}
	})
}
