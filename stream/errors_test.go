package stream_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/minio/sio"
	"github.com/objseal/objseal/stream"
)

// TestKinds names the ways in which a stream can be wrong, and how each is told.
func TestKinds(t *testing.T) {
	const full = stream.PackageSize
	plain := plaintext(2*stream.PayloadSize + 100)
	o := &stream.Options{Cipher: stream.AES256GCM}
	nonce, other := [12]byte{1, 2, 3}, [12]byte{3, 2, 1}
	restore := stream.FixNonce(nonce)
	good := seal(t, plain, o)
	restore()
	edit := func(f func(b []byte) []byte) []byte { return f(bytes.Clone(good)) }
	pkg := func(c stream.Cipher, nonce [12]byte, number uint32, final bool, n int) []byte {
		return stream.SealPackage(testKey, c, nonce, number, final, plain[:n])
	}
	const aes, chacha, max = stream.AES256GCM, stream.ChaCha20Poly1305, stream.PayloadSize

	for _, tt := range []struct {
		name   string
		sealed []byte
		want   error
		reason string // some of the message
	}{
		{"wrong key", stream.SealPackage(plain[:32], aes, nonce, 0, true, plain[:10]), stream.ErrTampered, "authentication"},
		{"payload changed", edit(func(b []byte) []byte { b[20] ^= 1; return b }), stream.ErrTampered, "authentication"},
		{"last tag changed", edit(func(b []byte) []byte { b[len(b)-1] ^= 1; return b }), stream.ErrTampered, "authentication"},
		{"packages swapped", bytes.Join([][]byte{good[full : 2*full], good[:full], good[2*full:]}, nil), stream.ErrTampered, "authentication"},
		{"package repeated", append(bytes.Clone(good[:full]), good...), stream.ErrTampered, "authentication"},
		{"first package dropped", good[full:], stream.ErrTampered, "authentication"},
		{"middle package dropped", append(bytes.Clone(good[:full]), good[2*full:]...), stream.ErrTampered, "authentication"},
		{"final flag set early", edit(func(b []byte) []byte { b[full+4] |= 0x80; return b }), stream.ErrTampered, ""},
		{"final flag cleared", edit(func(b []byte) []byte { b[2*full+4] &^= 0x80; return b }), stream.ErrTampered, "not final"},
		{"short package not final", append(pkg(aes, nonce, 0, false, max-1), pkg(aes, nonce, 1, true, 10)...), stream.ErrTampered, "not final"},
		{"two nonces", append(pkg(aes, nonce, 0, false, max), pkg(aes, other, 1, true, 10)...), stream.ErrTampered, "two streams"},
		{"two ciphers", append(pkg(aes, nonce, 0, false, max), pkg(chacha, nonce, 1, true, 10)...), stream.ErrTampered, "ciphers mixed"},
		{"two finals", append(pkg(aes, nonce, 0, true, max), pkg(aes, nonce, 1, true, 10)...), stream.ErrTampered, ""},
		{"two streams", append(bytes.Clone(good), good...), stream.ErrTampered, ""},
		{"data behind a short final package", append(bytes.Clone(good), make([]byte, 33)...), stream.ErrTampered, "after the final"},
		{"data behind a full final package", append(pkg(aes, nonce, 0, true, max), make([]byte, 33)...), stream.ErrTampered, ""},
		{"version 1.0 behind 2.0", append(pkg(aes, nonce, 0, false, max), append([]byte{0x10}, pkg(aes, nonce, 1, true, 10)[1:]...)...), stream.ErrTampered, ""},

		{"empty", nil, stream.ErrTruncated, ""},
		{"a byte", good[:1], stream.ErrTruncated, ""},
		{"header", good[:16], stream.ErrTruncated, ""},
		{"no payload", good[:32], stream.ErrTruncated, ""},
		{"a byte missing", good[:len(good)-1], stream.ErrTruncated, ""},
		{"cut behind a package", good[:2*full], stream.ErrTruncated, ""},
		{"cut in a header", good[:2*full+5], stream.ErrTruncated, ""},
		{"cut in a payload", good[:full+1000], stream.ErrTruncated, ""},

		{"version 0x30", edit(func(b []byte) []byte { b[0] = 0x30; return b }), stream.ErrUnsupported, "0x30"},
		{"version 0x30 in the last", edit(func(b []byte) []byte { b[2*full] = 0x30; return b }), stream.ErrTampered, "versions mixed"},
		{"cipher 2 in the last", edit(func(b []byte) []byte { b[2*full+1] = 2; return b }), stream.ErrTampered, "ciphers mixed"},
		{"version 1.0", edit(func(b []byte) []byte { b[0] = 0x10; return b }), stream.ErrUnsupported, "AllowLegacy"},
		{"cipher 2", edit(func(b []byte) []byte { b[1] = 2; return b }), stream.ErrUnsupported, "0x02"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, d := range decrypters {
				for _, step := range []int{100, 65536, 65568, 1 << 20} {
					got, err := d.run(testKey, tt.sealed, nil, step)
					if !errors.Is(err, tt.want) {
						t.Errorf("%s,step=%d: error %v, want %v", d.name, step, err, tt.want)
					}
					if d.name == "DecryptReader" {
						var e *stream.Error
						if !errors.As(err, &e) {
							t.Fatalf("%s: error %v is no *Error", d.name, err)
						}
						if !strings.Contains(err.Error(), tt.reason) || e.Offset != e.Package*full {
							t.Errorf("%s: error %q at %d, %d; want %q", d.name, err, e.Package, e.Offset, tt.reason)
						}
					}
					if !bytes.HasPrefix(plain, got) {
						t.Errorf("%s: other bytes than the plaintext", d.name)
					}
				}
			}
		})
	}
}

func TestInvalidCalls(t *testing.T) {
	construct := map[string]func(key []byte, o *stream.Options) error{
		"Seal": func(key []byte, o *stream.Options) error { _, err := stream.Seal(nil, key, nil, o); return err },
		"Open": func(key []byte, o *stream.Options) error { _, err := stream.Open(nil, key, nil, o); return err },
		"NewEncryptReader": func(key []byte, o *stream.Options) error {
			_, err := stream.NewEncryptReader(key, strings.NewReader(""), o)
			return err
		},
		"NewDecryptReader": func(key []byte, o *stream.Options) error {
			_, err := stream.NewDecryptReader(key, strings.NewReader(""), o)
			return err
		},
		"NewEncryptWriter": func(key []byte, o *stream.Options) error {
			_, err := stream.NewEncryptWriter(key, io.Discard, o)
			return err
		},
		"NewDecryptWriter": func(key []byte, o *stream.Options) error {
			_, err := stream.NewDecryptWriter(key, io.Discard, o)
			return err
		},
		"NewDecryptReaderAt": func(key []byte, o *stream.Options) error {
			_, err := stream.NewDecryptReaderAt(key, strings.NewReader(""), 0, o)
			return err
		},
		"NewRangeReader": func(key []byte, o *stream.Options) error {
			_, err := stream.NewRangeReader(key, strings.NewReader(""), stream.Range{}, o)
			return err
		},
	}
	for name, f := range construct {
		for _, n := range []int{0, 16, 31, 33, 64} {
			if err := f(make([]byte, n), nil); !errors.Is(err, stream.ErrInvalidKey) {
				t.Errorf("%s with a key of %d bytes: %v", name, n, err)
			}
		}
		if err := f(testKey, &stream.Options{Cipher: 3}); !errors.Is(err, stream.ErrInvalidOptions) {
			t.Errorf("%s with cipher 3: %v", name, err)
		}
		if err := f(testKey, &stream.Options{AllowEmpty: true}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

var errIO = errors.New("broken pipe")

// brokenSources end with an error behind p.
func brokenSources(p []byte, err error) map[string]io.Reader {
	return map[string]io.Reader{
		"error behind":    io.MultiReader(bytes.NewReader(p), iotest.ErrReader(err)),
		"error with":      &dataErrReader{p, err},
		"one byte":        io.MultiReader(iotest.OneByteReader(bytes.NewReader(p)), iotest.ErrReader(err)),
		"error only once": &onceErrReader{p, err},
	}
}

// dataErrReader gives its error together with the last bytes.
type dataErrReader struct {
	p   []byte
	err error
}

func (r *dataErrReader) Read(p []byte) (int, error) {
	n := copy(p, r.p)
	if r.p = r.p[n:]; len(r.p) == 0 {
		return n, r.err
	}
	return n, nil
}

// onceErrReader gives its error together with the last bytes, and io.EOF when
// asked again: who drops the error takes the data for whole.
type onceErrReader struct {
	p   []byte
	err error
}

func (r *onceErrReader) Read(p []byte) (int, error) {
	n := copy(p, r.p)
	if r.p = r.p[n:]; len(r.p) > 0 {
		return n, nil
	}
	err := r.err
	r.err = io.EOF
	return n, err
}

func TestSourceErrors(t *testing.T) {
	plain := plaintext(2*stream.PayloadSize + 50)
	sealed := seal(t, plain, nil)
	cuts := []int{0, 1, 15, 16, 17, 33, 4095, 4096, 4097, 65535, 65536, 65537, 65552, 65553, 65567, 65568, 65569, 65600, 131071, 131072, 131073, 131121, 131122, 131136, 131137, 131217, 131218}
	for _, broken := range []error{errIO, io.ErrUnexpectedEOF} {
		for _, cut := range cuts {
			for name := range brokenSources(nil, nil) {
				what := fmt.Sprintf("error=%v,cut=%d,source=%s", broken, cut, name)
				if cut <= len(plain) {
					checkBroken(t, what+",EncryptReader", broken, (cut-1)/stream.PayloadSize*stream.PackageSize, func() (io.Reader, []byte) {
						defer stream.FixNonce([12]byte{9})()
						r := must(stream.NewEncryptReader(testKey, brokenSources(plain[:cut], broken)[name], nil))
						return r, must(stream.Seal(nil, testKey, plain, nil))
					})
				}
				opened := cut / stream.PackageSize * stream.PayloadSize
				if cut == len(sealed) {
					opened = len(plain)
				}
				checkBroken(t, what+",DecryptReader", broken, opened, func() (io.Reader, []byte) {
					return must(stream.NewDecryptReader(testKey, brokenSources(sealed[:cut], broken)[name], nil)), plain
				})
				for who, w := range map[string]interface {
					io.ReaderFrom
					io.Closer
				}{
					"EncryptWriter": must(stream.NewEncryptWriter(testKey, io.Discard, nil)),
					"DecryptWriter": must(stream.NewDecryptWriter(testKey, io.Discard, nil)),
				} {
					n, err := w.ReadFrom(brokenSources(sealed[:cut], broken)[name])
					if n != int64(cut) || err != broken {
						t.Errorf("%s,%s.ReadFrom: %d, %v", what, who, n, err)
					}
					if err := w.Close(); err != broken {
						t.Errorf("%s,%s.Close: %v: the stream was ended as if it were whole", what, who, err)
					}
				}
			}
		}
	}
}

// checkBroken reads from a source that breaks: the packages in front of that are
// given, whole bytes in all, then the source's error, for ever.
func checkBroken(t *testing.T, what string, broken error, whole int, open func() (io.Reader, []byte)) {
	t.Helper()
	for _, step := range []int{100, 4096, 65568} {
		r, all := open()
		got, err := readAll(r, step)
		if err != broken || len(got) != whole || !bytes.HasPrefix(all, got) {
			t.Errorf("%s,step=%d: %d bytes, %v; want %d, %v", what, step, len(got), err, whole, broken)
		}
		p := make([]byte, step)
		if n, err := r.Read(p); n != 0 || err != broken {
			t.Errorf("%s,step=%d: later Read: %d, %v", what, step, n, err)
		}
		if n, err := r.(io.WriterTo).WriteTo(io.Discard); n != 0 || err != broken {
			t.Errorf("%s,step=%d: later WriteTo: %d, %v", what, step, n, err)
		}
	}
}

// funcReader and funcWriter misbehave as told.
type funcReader func(p []byte) (int, error)

func (f funcReader) Read(p []byte) (int, error) { return f(p) }

type funcWriter func(p []byte) (int, error)

func (f funcWriter) Write(p []byte) (int, error) { return f(p) }

func TestImpossibleSources(t *testing.T) {
	for name, src := range map[string]funcReader{
		"no progress": func([]byte) (int, error) { return 0, nil },
		"negative":    func([]byte) (int, error) { return -1, nil },
		"too much":    func(p []byte) (int, error) { return len(p) + 1, nil },
	} {
		for _, step := range []int{100, 65568} {
			if _, err := readAll(must(stream.NewEncryptReader(testKey, src, nil)), step); err == nil {
				t.Errorf("%s,step=%d: EncryptReader ends without an error", name, step)
			}
			if _, err := readAll(must(stream.NewDecryptReader(testKey, src, nil)), step); err == nil {
				t.Errorf("%s,step=%d: DecryptReader ends without an error", name, step)
			}
		}
	}
	// A source may have nothing to give now and then.
	plain, turn := bytes.NewReader(plaintext(70000)), 0
	r := must(stream.NewEncryptReader(testKey, funcReader(func(p []byte) (int, error) {
		if turn++; turn%50 != 0 {
			return 0, nil
		}
		return plain.Read(p[:min(len(p), 1000)])
	}), nil))
	sealed, err := readAll(r, 65568)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "halting source", must(stream.Open(nil, testKey, sealed, nil)), plaintext(70000))
}

func TestDestinationErrors(t *testing.T) {
	plain := plaintext(3*stream.PayloadSize + 50)
	sealed := seal(t, plain, nil)
	for name, tt := range map[string]struct {
		dst  func(calls int, p []byte) (int, error)
		want error
	}{
		"error":          {func(int, []byte) (int, error) { return 0, errIO }, errIO},
		"error at third": {func(n int, p []byte) (int, error) { return len(p), [...]error{nil, nil, errIO, nil, nil}[n] }, errIO},
		"some and error": {func(_ int, p []byte) (int, error) { return len(p) / 2, errIO }, errIO},
		"short":          {func(_ int, p []byte) (int, error) { return len(p) - 1, nil }, io.ErrShortWrite},
		"impossible":     {func(_ int, p []byte) (int, error) { return len(p) + 1, nil }, nil},
	} {
		for _, step := range []int{100, 65536, 1 << 20} {
			for who, w := range map[string]func(dst io.Writer) io.WriteCloser{
				"EncryptWriter": func(dst io.Writer) io.WriteCloser { return must(stream.NewEncryptWriter(testKey, dst, nil)) },
				"DecryptWriter": func(dst io.Writer) io.WriteCloser { return must(stream.NewDecryptWriter(testKey, dst, nil)) },
			} {
				calls := 0
				dst := funcWriter(func(p []byte) (int, error) { calls++; return tt.dst(calls-1, p) })
				in := plain
				if who == "DecryptWriter" {
					in = sealed
				}
				wc := w(dst)
				err := writeAll(wc, in, step)
				if err == nil || tt.want != nil && err != tt.want {
					t.Errorf("%s,step=%d: %s: error %v, want %v", name, step, who, err, tt.want)
				}
				before := calls
				if n, again := wc.Write(in); n != 0 || again != err {
					t.Errorf("%s,step=%d: %s: later Write: %d, %v", name, step, who, n, again)
				}
				if again := wc.Close(); again != err {
					t.Errorf("%s,step=%d: %s: Close: %v", name, step, who, again)
				}
				if calls != before {
					t.Errorf("%s,step=%d: %s went on writing after a failure", name, step, who)
				}
			}
		}
	}
}

// A reader whose WriteTo met a bad destination has lost nothing.
func TestWriteToGoesOn(t *testing.T) {
	defer stream.FixNonce([12]byte{7})()
	plain := plaintext(3*stream.PayloadSize + 50)
	sealed := seal(t, plain, nil)
	for name, tt := range map[string]struct {
		r interface {
			io.Reader
			io.WriterTo
		}
		want []byte
	}{
		"EncryptReader": {must(stream.NewEncryptReader(testKey, bytes.NewReader(plain), nil)), sealed},
		"DecryptReader": {must(stream.NewDecryptReader(testKey, bytes.NewReader(sealed), nil)), plain},
	} {
		var out bytes.Buffer
		calls := 0
		flaky := funcWriter(func(p []byte) (int, error) {
			if calls++; calls%2 == 0 {
				return out.Write(p)
			}
			n, _ := out.Write(p[:len(p)/2])
			return n, errIO
		})
		for i := 0; ; i++ {
			before := out.Len()
			n, err := tt.r.WriteTo(flaky)
			if n != int64(out.Len()-before) {
				t.Errorf("%s: WriteTo says %d bytes, wrote %d", name, n, out.Len()-before)
			}
			if err == nil {
				break
			}
			if err != errIO || i > 100 {
				t.Fatalf("%s: %v", name, err)
			}
			p := make([]byte, 10) // and Read goes on at the same place
			out.Write(p[:must(tt.r.Read(p))])
		}
		equal(t, name, out.Bytes(), tt.want)
	}
}

func TestClosedWriters(t *testing.T) {
	sealed := seal(t, []byte("x"), nil)
	for _, in := range [][]byte{nil, []byte("x")} {
		var out bytes.Buffer
		dst := &closeCounter{Writer: &out}
		w := must(stream.NewEncryptWriter(testKey, dst, nil))
		must(w.Write(in))
		checkClosed(t, "EncryptWriter", w, dst)
		if len(in) == 0 != (out.Len() == 0) {
			t.Errorf("%d bytes of plaintext became %d", len(in), out.Len())
		}
		out.Reset()
		d := must(stream.NewDecryptWriter(testKey, dst, &stream.Options{AllowEmpty: true}))
		if len(in) > 0 {
			must(d.Write(sealed))
		}
		checkClosed(t, "DecryptWriter", d, dst)
		equal(t, "DecryptWriter", out.Bytes(), in)
	}
}

type closeCounter struct {
	io.Writer
	closed int
}

func (c *closeCounter) Close() error { c.closed++; return nil }

func checkClosed(t *testing.T, name string, w interface {
	io.WriteCloser
	io.ReaderFrom
}, dst *closeCounter) {
	t.Helper()
	for range 2 {
		if err := w.Close(); err != nil {
			t.Errorf("%s.Close: %v", name, err)
		}
		if n, err := w.Write([]byte("y")); n != 0 || err != stream.ErrClosed {
			t.Errorf("%s.Write after Close: %d, %v", name, n, err)
		}
		if n, err := w.ReadFrom(strings.NewReader("y")); n != 0 || err != stream.ErrClosed {
			t.Errorf("%s.ReadFrom after Close: %d, %v", name, n, err)
		}
	}
	if dst.closed > 0 {
		t.Errorf("%s closed its destination", name)
	}
}

// A writer over a writer that is closed must not take its ErrClosed for its own.
func TestClosedDestination(t *testing.T) {
	inner := must(stream.NewEncryptWriter(testKey, io.Discard, nil))
	outer := must(stream.NewEncryptWriter(testKey, inner, nil))
	must(outer.Write([]byte("x")))
	inner.Close()
	for range 2 {
		if err := outer.Close(); err != stream.ErrClosed {
			t.Errorf("Close: %v, want the destination's ErrClosed", err)
		}
	}
}

// The final package of a slow source is given without waiting for the source to end.
func TestFinalPackageIsNotHeldBack(t *testing.T) {
	sealed := seal(t, []byte("tail"), nil)
	pr, pw := io.Pipe()
	defer pw.Close()
	go pw.Write(sealed)
	r := must(stream.NewDecryptReader(testKey, pr, nil))
	p := make([]byte, 10)
	if n, err := r.Read(p); string(p[:n]) != "tail" || err != nil {
		t.Errorf("Read: %q, %v", p[:n], err)
	}
	var out bytes.Buffer
	w := must(stream.NewDecryptWriter(testKey, &out, nil))
	must(w.Write(sealed))
	if out.String() != "tail" {
		t.Errorf("before Close: %q", out.String())
	}
}

// sealLegacy makes DARE 1.0 packages of n bytes each.
func sealLegacy(c stream.Cipher, plain []byte, n int, seq uint32) []byte {
	cfg := sioConfig(c, seq)
	cfg.MinVersion, cfg.MaxVersion, cfg.PayloadSize = sio.Version10, sio.Version10, n
	var out bytes.Buffer
	must(sio.Encrypt(&out, bytes.NewReader(plain), cfg))
	return out.Bytes()
}

func TestLegacy(t *testing.T) {
	plain := plaintext(2*stream.PayloadSize + 300)
	o := &stream.Options{AllowLegacy: true, AllowEmpty: true}

	for _, n := range []int{1, 10, 4096, 65535, 65536} { // DARE section 10, case 9
		for _, size := range []int{1, 10, 25, 300, 65537, len(plain)} {
			if size/n > 2000 {
				continue
			}
			sealed := sealLegacy(stream.AES256GCM, plain[:size], n, 0)
			for _, d := range decrypters {
				got, err := d.run(testKey, sealed, o, 1000)
				short := n < stream.PayloadSize && size > n
				switch d.name {
				case "DecryptReaderAt", "ReadSeeker":
					if short && !errors.Is(err, stream.ErrUnsupported) && !errors.Is(err, stream.ErrTruncated) {
						t.Errorf("%s,payload=%d,size=%d: error %v, want ErrUnsupported", d.name, n, size, err)
					}
				case "RangeReader":
					short = short && err != nil
				default:
					short = false
				}
				if short {
					continue
				}
				if err != nil {
					t.Errorf("%s,payload=%d,size=%d: %v", d.name, n, size, err)
				}
				equal(t, d.name, got, plain[:size])
			}
		}
	}

	// Ciphers and random halves may differ from package to package.
	mixed := append(sealLegacy(stream.AES256GCM, plain[:stream.PayloadSize], stream.PayloadSize, 0),
		sealLegacy(stream.ChaCha20Poly1305, plain[stream.PayloadSize:], stream.PayloadSize, 1)...)
	for _, d := range decrypters {
		got, err := d.run(testKey, mixed, o, 1000)
		if err != nil {
			t.Errorf("%s of mixed packages: %v", d.name, err)
		}
		equal(t, d.name, got, plain)
		if _, err := d.run(testKey, mixed[stream.PackageSize:], o, 1000); !errors.Is(err, stream.ErrTampered) {
			t.Errorf("%s of packages numbered 1, 2: %v", d.name, err)
		}
	}

	// The versions do not mix, whichever comes first.
	v2 := seal(t, plain[:100], &stream.Options{Sequence: 1})
	v1 := sealLegacy(stream.AES256GCM, plain[:stream.PayloadSize], stream.PayloadSize, 0)
	for _, d := range decrypters {
		if _, err := d.run(testKey, append(bytes.Clone(v1), v2...), o, 1000); !errors.Is(err, stream.ErrTampered) {
			t.Errorf("%s of 1.0 with 2.0 behind: %v", d.name, err)
		}
	}
}
