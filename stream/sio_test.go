package stream_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/minio/sio"
	"github.com/objseal/objseal/stream"
)

// The tests of this file show, one by one, what sio v0.4.1 gets wrong and what
// this package does instead. They fail when either changes.

// nopCloser hides the Close of nothing: sio closes what it can.
type nopCloser struct{ io.Writer }

// DARE section 7.5: Close of sio's DecryptWriter does not ask for a final package.
func TestSIODefectDecryptWriterAcceptsCutStream(t *testing.T) {
	plain := plaintext(3*stream.PayloadSize - 7)
	sealed := seal(t, plain, &stream.Options{Cipher: stream.AES256GCM})
	for k := range 3 {
		cut := sealed[:k*stream.PackageSize]
		t.Run(fmt.Sprintf("packages=%d", k), func(t *testing.T) {
			var out bytes.Buffer
			theirs := must(sio.DecryptWriter(nopCloser{&out}, sioConfig(stream.AES256GCM, 0)))
			if err := writeAll(theirs, cut, 1<<20); err != nil {
				t.Errorf("sio: %v; the defect is gone", err)
			}

			for _, step := range steps[1:] {
				out.Reset()
				ours := must(stream.NewDecryptWriter(testKey, &out, nil))
				if err := writeAll(ours, cut, step); !errors.Is(err, stream.ErrTruncated) {
					t.Errorf("step=%d: error %v, want ErrTruncated", step, err)
				}
				if first, second := ours.Close(), ours.Close(); first != second || !errors.Is(first, stream.ErrTruncated) {
					t.Errorf("step=%d: later Closes: %v, %v", step, first, second)
				}
				equal(t, "packages in front of the cut", out.Bytes(), plain[:k*stream.PayloadSize])
			}
		})
	}
}

// DARE section 7.7: sio's ReaderAt meets a cut only where it reads.
func TestSIODefectReaderAtDoesNotSeeTruncation(t *testing.T) {
	plain := plaintext(3*stream.PayloadSize - 7)
	sealed := seal(t, plain, &stream.Options{Cipher: stream.AES256GCM})
	cut := sealed[:2*stream.PackageSize]
	p := make([]byte, 100)

	theirs := must(sio.DecryptReaderAt(bytes.NewReader(cut), sioConfig(stream.AES256GCM, 0)))
	if n, err := theirs.ReadAt(p, 10); n != len(p) || err != nil {
		t.Errorf("sio: %d, %v; the defect is gone", n, err)
	}

	for _, off := range []int64{0, 10, stream.PayloadSize - 1, stream.PayloadSize, 2*stream.PayloadSize - 1, 2 * stream.PayloadSize, 1 << 40} {
		ours := must(stream.NewDecryptReaderAt(testKey, bytes.NewReader(cut), int64(len(cut)), nil))
		for range 2 {
			if n, err := ours.ReadAt(p, off); n != 0 || !errors.Is(err, stream.ErrTruncated) {
				t.Errorf("ReadAt(%d): %d, %v; want 0, ErrTruncated", off, n, err)
			}
			if n, err := ours.ReadAt(nil, off); n != 0 || !errors.Is(err, stream.ErrTruncated) {
				t.Errorf("ReadAt(nil, %d): %d, %v; want 0, ErrTruncated", off, n, err)
			}
		}
		s := ours.ReadSeeker()
		must(s.Seek(off, io.SeekStart))
		if n, err := s.Read(p); n != 0 || !errors.Is(err, stream.ErrTruncated) {
			t.Errorf("ReadSeeker at %d: %d, %v; want 0, ErrTruncated", off, n, err)
		}
	}
}

// DARE section 7.3: after a package that is not authentic, sio's reader goes on; if
// it was the final one, the stream seems to have ended well.
func TestSIODefectErrorsDoNotStick(t *testing.T) {
	sealed := seal(t, plaintext(1000), &stream.Options{Cipher: stream.AES256GCM})
	sealed[len(sealed)-1] ^= 1
	p := make([]byte, 100)

	theirs := must(sio.DecryptReader(bytes.NewReader(sealed), sioConfig(stream.AES256GCM, 0)))
	if _, err := theirs.Read(p); err == nil {
		t.Error("sio accepts a changed tag")
	}
	if n, err := theirs.Read(p); n != 0 || err != io.EOF {
		t.Errorf("sio: %d, %v; the defect is gone", n, err)
	}

	for _, size := range []int{1, 100, stream.PayloadSize, stream.PackageSize} {
		p := make([]byte, size)
		ours := must(stream.NewDecryptReader(testKey, bytes.NewReader(sealed), nil))
		_, first := ours.Read(p)
		if !errors.Is(first, stream.ErrTampered) {
			t.Fatalf("buffer=%d: error %v, want ErrTampered", size, first)
		}
		for range 3 {
			if n, err := ours.Read(p); n != 0 || err != first {
				t.Errorf("buffer=%d: later Read: %d, %v", size, n, err)
			}
			if n, err := ours.WriteTo(io.Discard); n != 0 || err != first {
				t.Errorf("buffer=%d: later WriteTo: %d, %v", size, n, err)
			}
		}
	}

	w := must(stream.NewDecryptWriter(testKey, io.Discard, nil))
	_, first := w.Write(sealed)
	if !errors.Is(first, stream.ErrTampered) {
		t.Fatalf("Write: error %v, want ErrTampered", first)
	}
	if _, err := w.Write([]byte{1}); err != first {
		t.Errorf("later Write: %v", err)
	}
	if _, err := w.ReadFrom(bytes.NewReader(sealed)); err != first {
		t.Errorf("later ReadFrom: %v", err)
	}
	if err := w.Close(); err != first {
		t.Errorf("Close: %v", err)
	}
}

// DARE section 7.6: sio slices its input without asking for its length.
func TestSIODefectShortBuffersPanic(t *testing.T) {
	panics := 0
	full := seal(t, plaintext(stream.PayloadSize+1), &stream.Options{Cipher: stream.AES256GCM})
	for rest := 1; rest <= 33; rest++ {
		for _, in := range [][]byte{full[:rest], full[:stream.PackageSize+rest]} {
			in = bytes.Clone(in)[:len(in):len(in)]
			if rest == 33 && len(in) > 33 {
				continue // the whole stream
			}
			func() {
				defer func() {
					if recover() != nil {
						panics++
					}
				}()
				sio.DecryptBuffer(nil, in, sioConfig(stream.AES256GCM, 0))
			}()
			for _, room := range []int{0, 1, stream.PayloadSize, 2 * stream.PackageSize} {
				out, err := stream.Open(make([]byte, 0, room), testKey, in, nil)
				if out != nil || !errors.Is(err, stream.ErrTruncated) {
					t.Errorf("Open of %d bytes: %d bytes, %v; want ErrTruncated", len(in), len(out), err)
				}
			}
		}
	}
	if panics == 0 {
		t.Error("sio: no panic; the defect is gone")
	}
}

// DARE section 2: sio wraps the package number, and with it repeats a nonce.
func TestSIODefectNoStopAtMaxPackages(t *testing.T) {
	const last = 1<<32 - 1
	for _, c := range ciphers {
		plain := plaintext(stream.PayloadSize + 1)
		var theirs bytes.Buffer
		if _, err := sio.Encrypt(&theirs, bytes.NewReader(plain), sioConfig(c, last)); err != nil {
			t.Errorf("sio: %v; the defect is gone", err)
		}
		o := &stream.Options{Cipher: c, Sequence: last}
		for _, step := range []int{1000, 65568, 1 << 20} {
			for _, e := range encrypters {
				if _, err := e.run(testKey, plain[:stream.PayloadSize], o, step); err != nil {
					t.Errorf("%v: %s of the last package: %v", c, e.name, err)
				}
				sealed, err := e.run(testKey, plain, o, step)
				if !errors.Is(err, stream.ErrTooLarge) || len(sealed) > stream.PackageSize {
					t.Errorf("%v: %s: %d bytes, %v; want one package, ErrTooLarge", c, e.name, len(sealed), err)
				}
			}
			for _, d := range decrypters {
				got, err := d.run(testKey, theirs.Bytes(), o, step)
				if !errors.Is(err, stream.ErrTooLarge) || !bytes.HasPrefix(plain[:stream.PayloadSize], got) {
					t.Errorf("%v: %s: %d bytes, %v; want ErrTooLarge", c, d.name, len(got), err)
				}
				one := seal(t, plain[:100], o)
				if _, err := d.run(testKey, one, o, step); err != nil {
					t.Errorf("%v: %s of the last package: %v", c, d.name, err)
				}
			}
		}
	}
}
