package stream_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"testing"
	"testing/iotest"

	"github.com/minio/sio"
	"github.com/objseal/objseal/internal/aead/aeadtest"
	"github.com/objseal/objseal/stream"
)

var testKey = bytes.Repeat([]byte{0x42}, stream.KeySize)

var ciphers = []stream.Cipher{stream.AES256GCM, stream.ChaCha20Poly1305}

// boundaries are the plaintext sizes where something changes.
var boundaries = []int{
	0, 1, 2, 15, 16, 17, 4063, 4064, 4065, 4079, 4080, 4081, 4095, 4096, 4097,
	65535, 65536, 65537, 65551, 65552, 65553, 65567, 65568, 65569,
	131071, 131072, 131073, 196607, 196608, 196609,
}

// steps are the sizes of the pieces that callers read and write.
var steps = []int{1, 15, 16, 17, 4096, 32 << 10, 65535, 65536, 65537, 65568, 65569, 1 << 20}

// plaintext returns n bytes that differ from place to place.
func plaintext(n int) []byte { return sha256ctr("plaintext", n) }

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func seal(t testing.TB, plain []byte, o *stream.Options) []byte {
	t.Helper()
	sealed, err := stream.Seal(nil, testKey, plain, o)
	if err != nil {
		t.Fatal(err)
	}
	return sealed
}

// equal compares without printing what may be long.
func equal(t testing.TB, what string, got, want []byte) {
	t.Helper()
	if !bytes.Equal(got, want) {
		i := 0
		for i < min(len(got), len(want)) && got[i] == want[i] {
			i++
		}
		t.Fatalf("%s: %d bytes, want %d; the first difference is at %d", what, len(got), len(want), i)
	}
}

// sioConfig is what makes sio write the streams that o stands for.
func sioConfig(c stream.Cipher, seq uint32) sio.Config {
	return sio.Config{
		MinVersion: sio.Version20, MaxVersion: sio.Version20,
		Key: testKey, CipherSuites: []byte{byte(c - stream.AES256GCM)}, SequenceNumber: seq,
	}
}

// An encrypter makes a stream in one of the ways there are.
type encrypter struct {
	name string
	run  func(key, plain []byte, o *stream.Options, step int) ([]byte, error)
}

// A decrypter opens a whole stream in one of the ways there are. On failure it
// returns what had been handed out.
type decrypter struct {
	name string
	run  func(key, sealed []byte, o *stream.Options, step int) ([]byte, error)
}

// hide leaves of a reader only Read, of a writer only Write.
type hide struct {
	io.Reader
	io.Writer
}

// readAll reads in pieces of step bytes.
func readAll(r io.Reader, step int) ([]byte, error) {
	var out []byte
	p := make([]byte, step)
	for {
		n, err := r.Read(p)
		out = append(out, p[:n]...)
		if err == io.EOF {
			return out, nil
		}
		if err != nil {
			return out, err
		}
	}
}

// writeAll writes in pieces of step bytes and closes.
func writeAll(w io.WriteCloser, p []byte, step int) error {
	for len(p) > 0 {
		n := min(step, len(p))
		if got, err := w.Write(p[:n]); err != nil {
			return err
		} else if got != n {
			return fmt.Errorf("Write took %d of %d bytes without an error", got, n)
		}
		p = p[n:]
	}
	return w.Close()
}

var encrypters = []encrypter{
	{"Seal", func(key, plain []byte, o *stream.Options, _ int) ([]byte, error) {
		return stream.Seal(nil, key, plain, o)
	}},
	{"EncryptReader", func(key, plain []byte, o *stream.Options, step int) ([]byte, error) {
		r, err := stream.NewEncryptReader(key, bytes.NewReader(plain), o)
		if err != nil {
			return nil, err
		}
		return readAll(r, step)
	}},
	{"EncryptReader.WriteTo", func(key, plain []byte, o *stream.Options, step int) ([]byte, error) {
		r, err := stream.NewEncryptReader(key, &stepReader{plain, step}, o)
		if err != nil {
			return nil, err
		}
		var out bytes.Buffer
		_, err = r.WriteTo(&out)
		return out.Bytes(), err
	}},
	{"EncryptWriter", func(key, plain []byte, o *stream.Options, step int) ([]byte, error) {
		var out bytes.Buffer
		w, err := stream.NewEncryptWriter(key, &out, o)
		if err != nil {
			return nil, err
		}
		err = writeAll(w, plain, step)
		return out.Bytes(), err
	}},
	{"EncryptWriter.ReadFrom", func(key, plain []byte, o *stream.Options, step int) ([]byte, error) {
		var out bytes.Buffer
		w, err := stream.NewEncryptWriter(key, &out, o)
		if err != nil {
			return nil, err
		}
		first := min(step, len(plain)) // Write and ReadFrom in turn
		if _, err := w.Write(plain[:first]); err != nil {
			return nil, err
		}
		if _, err := w.ReadFrom(&stepReader{plain[first:], step}); err != nil {
			return nil, err
		}
		err = w.Close()
		return out.Bytes(), err
	}},
}

var decrypters = []decrypter{
	{"Open", func(key, sealed []byte, o *stream.Options, _ int) ([]byte, error) {
		return stream.Open(nil, key, sealed, o)
	}},
	{"DecryptReader", func(key, sealed []byte, o *stream.Options, step int) ([]byte, error) {
		r, err := stream.NewDecryptReader(key, bytes.NewReader(sealed), o)
		if err != nil {
			return nil, err
		}
		return readAll(r, step)
	}},
	{"DecryptReader.WriteTo", func(key, sealed []byte, o *stream.Options, step int) ([]byte, error) {
		r, err := stream.NewDecryptReader(key, &stepReader{sealed, step}, o)
		if err != nil {
			return nil, err
		}
		var out bytes.Buffer
		_, err = r.WriteTo(&out)
		return out.Bytes(), err
	}},
	{"DecryptWriter", func(key, sealed []byte, o *stream.Options, step int) ([]byte, error) {
		var out bytes.Buffer
		w, err := stream.NewDecryptWriter(key, &out, o)
		if err != nil {
			return nil, err
		}
		err = writeAll(w, sealed, step)
		return out.Bytes(), err
	}},
	{"DecryptWriter.ReadFrom", func(key, sealed []byte, o *stream.Options, step int) ([]byte, error) {
		var out bytes.Buffer
		w, err := stream.NewDecryptWriter(key, &out, o)
		if err != nil {
			return nil, err
		}
		first := min(step, len(sealed))
		if _, err := w.Write(sealed[:first]); err != nil {
			return out.Bytes(), err
		}
		if _, err := w.ReadFrom(&stepReader{sealed[first:], step}); err != nil {
			return out.Bytes(), err
		}
		err = w.Close()
		return out.Bytes(), err
	}},
	{"DecryptReaderAt", func(key, sealed []byte, o *stream.Options, step int) ([]byte, error) {
		r, err := stream.NewDecryptReaderAt(key, bytes.NewReader(sealed), int64(len(sealed)), o)
		if err != nil {
			return nil, err
		}
		return readAll(io.NewSectionReader(r, 0, 1<<60), max(step, 4096)) // each call opens a package
	}},
	{"ReadSeeker", func(key, sealed []byte, o *stream.Options, step int) ([]byte, error) {
		r, err := stream.NewDecryptReaderAt(key, bytes.NewReader(sealed), int64(len(sealed)), o)
		if err != nil {
			return nil, err
		}
		return readAll(r.ReadSeeker(), step)
	}},
	{"RangeReader", func(key, sealed []byte, o *stream.Options, step int) ([]byte, error) {
		size, err := stream.DecryptedSize(int64(len(sealed)))
		if err != nil {
			return nil, err
		}
		var ro stream.Options
		if o != nil {
			ro = *o
		}
		if size == 0 && !ro.AllowEmpty {
			return nil, stream.ErrTruncated // no range of it has a byte that could be read
		}
		r, err := stream.PackageRange(size, 0, size)
		if err != nil {
			return nil, err
		}
		r.Sequence, ro.Sequence = ro.Sequence, 0
		d, err := stream.NewRangeReader(key, bytes.NewReader(sealed), r, &ro)
		if err != nil {
			return nil, err
		}
		return readAll(d, step)
	}},
}

// stepReader gives at most step bytes a call, and has no other methods.
type stepReader struct {
	p    []byte
	step int
}

func (r *stepReader) Read(p []byte) (int, error) {
	if len(r.p) == 0 {
		return 0, io.EOF
	}
	n := copy(p[:min(len(p), r.step)], r.p)
	r.p = r.p[n:]
	return n, nil
}

// affordable leaves out small steps through large streams.
func affordable(size, step int) bool { return size/step <= 5000 || size < 70000 && size/step <= 70000 }

func TestRoundTripAgainstSIO(t *testing.T) {
	for _, c := range ciphers {
		for _, seq := range []uint32{0, 1, 5, 1<<32 - 5} {
			if seq == 5 && aeadtest.Race { // nothing here is done at the same time
				continue
			}
			o := &stream.Options{Cipher: c, Sequence: seq, AllowEmpty: true}
			for _, size := range boundaries {
				plain := plaintext(size)
				var theirs bytes.Buffer
				must(sio.Encrypt(&theirs, bytes.NewReader(plain), sioConfig(c, seq)))
				for _, step := range steps {
					if !affordable(size, step) || seq != 0 && step != 4096 && step != 65569 {
						continue
					}
					name := fmt.Sprintf("cipher=%v,seq=%d,size=%d,step=%d", c, seq, size, step)
					for _, e := range encrypters {
						ours, err := e.run(testKey, plain, o, step)
						if err != nil {
							t.Fatalf("%s: %s: %v", name, e.name, err)
						}
						if size == 0 { // sio takes zero bytes only where 1.0 is allowed too
							equal(t, name+": "+e.name, ours, nil)
							continue
						}
						got, err := sio.DecryptBuffer(nil, ours, sioConfig(c, seq))
						if err != nil {
							t.Fatalf("%s: sio on what %s made: %v", name, e.name, err)
						}
						equal(t, name+": "+e.name, got, plain)
					}
					for _, d := range decrypters {
						got, err := d.run(testKey, theirs.Bytes(), o, step)
						if err != nil {
							t.Fatalf("%s: %s: %v", name, d.name, err)
						}
						equal(t, name+": "+d.name, got, plain)
					}
				}
			}
		}
	}
}

func TestSources(t *testing.T) {
	wrappers := []struct {
		name string
		wrap func(io.Reader) io.Reader
	}{
		{"OneByteReader", iotest.OneByteReader},
		{"HalfReader", iotest.HalfReader},
		{"DataErrReader", iotest.DataErrReader},
		{"DataErrReader(HalfReader)", func(r io.Reader) io.Reader { return iotest.DataErrReader(iotest.HalfReader(r)) }},
	}
	for _, size := range boundaries {
		plain := plaintext(size)
		sealed := seal(t, plain, nil)
		for _, w := range wrappers {
			for _, step := range []int{17, 65535, 65536, 65568} {
				name := fmt.Sprintf("size=%d,source=%s,step=%d", size, w.name, step)
				er := must(stream.NewEncryptReader(testKey, w.wrap(bytes.NewReader(plain)), nil))
				ours, err := readAll(er, step)
				if err != nil {
					t.Fatalf("%s: EncryptReader: %v", name, err)
				}
				o := &stream.Options{AllowEmpty: true}
				equal(t, name, must(stream.Open(nil, testKey, ours, o)), plain)

				dr := must(stream.NewDecryptReader(testKey, w.wrap(bytes.NewReader(sealed)), o))
				got, err := readAll(dr, step)
				if err != nil {
					t.Fatalf("%s: DecryptReader: %v", name, err)
				}
				equal(t, name, got, plain)
			}
		}
	}
}

func TestReaders(t *testing.T) {
	for _, size := range []int{0, 1, 4065, 65536, 65537, 131072, 140000} {
		t.Run(fmt.Sprintf("size=%d", size), func(t *testing.T) {
			plain := plaintext(size)
			defer stream.FixNonce([12]byte{1, 2, 3})()
			sealed := seal(t, plain, nil)
			o := &stream.Options{AllowEmpty: true}
			er := must(stream.NewEncryptReader(testKey, bytes.NewReader(plain), nil))
			if err := iotest.TestReader(er, sealed); err != nil {
				t.Errorf("EncryptReader: %v", err)
			}
			dr := must(stream.NewDecryptReader(testKey, bytes.NewReader(sealed), o))
			if err := iotest.TestReader(dr, plain); err != nil {
				t.Errorf("DecryptReader: %v", err)
			}
			ra := must(stream.NewDecryptReaderAt(testKey, bytes.NewReader(sealed), int64(len(sealed)), o))
			if err := iotest.TestReader(ra.ReadSeeker(), plain); err != nil {
				t.Errorf("ReadSeeker: %v", err)
			}
			if size > 5000 {
				return // TestReader reads byte by byte, and each ReadAt opens a package
			}
			if err := iotest.TestReader(io.NewSectionReader(ra, 0, int64(size)), plain); err != nil {
				t.Errorf("DecryptReaderAt: %v", err)
			}
		})
	}
}

func TestSizes(t *testing.T) {
	const maxPlain, maxSealed = 1 << 48, 1<<48 + 1<<37
	for _, tt := range []struct {
		plain, sealed int64
	}{
		{0, 0}, {1, 33}, {65535, 65567}, {65536, 65568}, {65537, 65601}, {131072, 131136}, {131073, 131169},
		{maxPlain - 1, maxSealed - 1}, {maxPlain, maxSealed},
	} {
		if got, err := stream.EncryptedSize(tt.plain); got != tt.sealed || err != nil {
			t.Errorf("EncryptedSize(%d) = %d, %v", tt.plain, got, err)
		}
		if got, err := stream.DecryptedSize(tt.sealed); got != tt.plain || err != nil {
			t.Errorf("DecryptedSize(%d) = %d, %v", tt.sealed, got, err)
		}
	}
	for _, tt := range []struct {
		name string
		f    func(int64) (int64, error)
		n    int64
		want error
	}{
		{"EncryptedSize", stream.EncryptedSize, -1, stream.ErrInvalidRange},
		{"EncryptedSize", stream.EncryptedSize, maxPlain + 1, stream.ErrTooLarge},
		{"EncryptedSize", stream.EncryptedSize, 1<<63 - 1, stream.ErrTooLarge},
		{"DecryptedSize", stream.DecryptedSize, -1, stream.ErrInvalidRange},
		{"DecryptedSize", stream.DecryptedSize, 1, stream.ErrTruncated},
		{"DecryptedSize", stream.DecryptedSize, 32, stream.ErrTruncated},
		{"DecryptedSize", stream.DecryptedSize, 65569, stream.ErrTruncated},
		{"DecryptedSize", stream.DecryptedSize, 65600, stream.ErrTruncated},
		{"DecryptedSize", stream.DecryptedSize, maxSealed + 1, stream.ErrTooLarge},
		{"DecryptedSize", stream.DecryptedSize, 1<<63 - 1, stream.ErrTooLarge},
	} {
		if got, err := tt.f(tt.n); !errors.Is(err, tt.want) || got != 0 {
			t.Errorf("%s(%d) = %d, %v; want %v", tt.name, tt.n, got, err, tt.want)
		}
	}
}

func unhex(s string) []byte { return must(hex.DecodeString(s)) }
