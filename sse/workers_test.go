package sse_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/objseal/objseal/sse"
	"github.com/objseal/objseal/stream"
)

// workersSize is that of an object behind whose beginning workers begin.
const workersSize = 9<<20 + 12345

// workersObjects are objects of that size, sealed by several workers: one stream,
// and parts of which some are large enough for workers.
func workersObjects(t *testing.T, plain []byte) map[string]readable {
	c, r := newClient(t), sse.Request{Method: sse.S3}
	o := &sse.EncryptOptions{Workers: 3, Checksum: sse.CRC32C, Policy: sse.ETagRandom}
	m, err := sse.NewMultipart(background, c, r, object)
	if err != nil {
		t.Fatal(err)
	}
	single := seal(t, c, r, object, plain, o)
	parts := multipart(t, m, []int{1, 2, 5}, [][]byte{plain[:7<<20], plain[7<<20 : 7<<20+100], plain[7<<20+100:]}, o).sealed
	open := &sse.OpenOptions{Workers: 3}
	return map[string]readable{
		"single":    {single, single.mustOpen(t, c, object, open), plain},
		"multipart": {parts, parts.mustOpen(t, c, object, open), plain},
	}
}

// TestWorkers: an object is the same for any number of workers, and its content is
// compared.
func TestWorkers(t *testing.T) {
	plain := someBytes(workersSize)
	for name, o := range workersObjects(t, plain) {
		for span, r := range map[string]sse.Range{"whole": sse.Whole, "range": {Offset: 1<<20 + 7, Length: 8 << 20}} {
			want := plain
			if r != sse.Whole {
				want = plain[r.Offset : r.Offset+r.Length]
			}
			rd := o.reader(t, r)
			var got bytes.Buffer
			n, err := rd.WriteTo(&got)
			if err != nil || n != int64(len(want)) || !bytes.Equal(got.Bytes(), want) {
				t.Errorf("%s, %s: %d bytes, %v", name, span, n, err)
			}
			if level := rd.Integrity().Level; (level == sse.Content) != (name == "single" && r == sse.Whole) {
				t.Errorf("%s, %s: integrity %q", name, span, level)
			}
		}
		// What several workers have sealed one can read.
		got, err := io.ReadAll(o.reader(t, sse.Whole))
		if err != nil || !bytes.Equal(got, plain) {
			t.Errorf("%s: Read gave %d bytes, %v", name, len(got), err)
		}
	}
}

// TestWorkersTampered: of a package that was changed, and of what is behind it,
// nothing is written, and the error names its place.
func TestWorkersTampered(t *testing.T) {
	plain := someBytes(workersSize)
	for name, o := range workersObjects(t, plain) {
		for _, bad := range []int{3, 70, 90, 111} {
			o.data = bytes.Clone(o.data)
			o.data[bad*stream.PackageSize+1000] ^= 1
			rd := o.reader(t, sse.Whole)
			var got bytes.Buffer
			n, err := rd.WriteTo(&got)
			if !errors.Is(err, stream.ErrTampered) || sse.KindOf(err) != sse.KindTampered || n != int64(bad)*stream.PayloadSize || !bytes.Equal(got.Bytes(), plain[:n]) {
				t.Errorf("%s, package %d: %d bytes, %v", name, bad, n, err)
			}
			if _, again := rd.WriteTo(&got); again != err {
				t.Errorf("%s, package %d: then %v", name, bad, again)
			}
			o.data[bad*stream.PackageSize+1000] ^= 1
		}
	}
}

// TestWorkersOtherContent: an authentic stream that is not what the sealed ETag
// says.
func TestWorkersOtherContent(t *testing.T) {
	c := newClient(t)
	plain := someBytes(workersSize)
	s := seal(t, c, sse.Request{Method: sse.S3}, object, plain, &sse.EncryptOptions{Workers: 2, Policy: sse.ETagSupplied, ETag: make([]byte, 16)})
	n, err := must(s.mustOpen(t, c, object, &sse.OpenOptions{Workers: 2}).NewReader(background, sse.FetchReaderAt(bytes.NewReader(s.data)), sse.Whole)).WriteTo(io.Discard)
	if !errors.Is(err, sse.ErrTampered) || n >= int64(len(plain)) || n < int64(len(plain))-1<<20 {
		t.Errorf("%d bytes, %v", n, err)
	}
}

// TestWorkersFail: a destination or a body that fails, and a context that ends,
// at the beginning and while several workers are at it.
func TestWorkersFail(t *testing.T) {
	plain := someBytes(workersSize)
	c := newClient(t)
	objects := workersObjects(t, plain)
	broken := errors.New("broken")
	for _, at := range []int{1, 5 << 20, 8 << 20} {
		for name, end := range map[string]func(cancel context.CancelFunc) error{
			"fails":      func(context.CancelFunc) error { return broken },
			"is at EOF":  func(context.CancelFunc) error { return io.EOF },
			"is too old": func(cancel context.CancelFunc) error { cancel(); return nil },
		} {
			want := end(func() {})
			if want == nil {
				want = context.Canceled
			}
			what := fmt.Sprintf("a destination that %s behind %d bytes", name, at)
			ctx, cancel := context.WithCancel(background)
			taken := 0
			dst := writerFunc(func(p []byte) (int, error) {
				if taken += len(p); taken < at {
					return len(p), nil
				}
				if err := end(cancel); err != nil {
					taken -= len(p)
					return 0, err
				}
				return len(p), nil
			})
			u, err := sse.Encrypt(ctx, c, sse.Request{Method: sse.S3}, object, bytes.NewReader(plain), &sse.EncryptOptions{Workers: 3, Policy: sse.ETagRandom})
			if err != nil {
				t.Fatal(err)
			}
			n, err := u.WriteTo(dst)
			if !errors.Is(err, want) || n != int64(taken) || n != u.StoredSize() {
				t.Errorf("Upload, %s: %d of %d bytes, %v", what, n, taken, err)
			}
			if m, again := u.Metadata(); m != nil || again != err {
				t.Errorf("Upload, %s: metadata %v, %v", what, m, again)
			}
			cancel()
			for form, o := range objects {
				ctx, cancel = context.WithCancel(background)
				taken = 0
				rd, err := o.NewReader(ctx, sse.FetchReaderAt(bytes.NewReader(o.data)), sse.Whole)
				if err != nil {
					t.Fatal(err)
				}
				n, err := rd.WriteTo(dst)
				if !errors.Is(err, want) || n != int64(taken) || !errors.Is(rd.Close(), nil) {
					t.Errorf("Reader of %s, %s: %d of %d bytes, %v", form, what, n, taken, err)
				}
				if _, again := rd.Read(make([]byte, 1)); again != err {
					t.Errorf("Reader of %s, %s: then %v", form, what, again)
				}
				cancel()
			}
		}
		body := io.MultiReader(bytes.NewReader(plain[:at]), readerFunc(func([]byte) (int, error) { return 0, broken }))
		u, err := sse.Encrypt(background, c, sse.Request{Method: sse.S3}, object, body, &sse.EncryptOptions{Workers: 3, Policy: sse.ETagRandom})
		if err != nil {
			t.Fatal(err)
		}
		if n, err := u.WriteTo(io.Discard); !errors.Is(err, broken) || n > int64(at+at/1000) {
			t.Errorf("a body that fails behind %d bytes: %d bytes, %v", at, n, err)
		}
	}
}

// TestWorkersAreHandedOn: workers write several packages at once.
func TestWorkersAreHandedOn(t *testing.T) {
	c, r := newClient(t), sse.Request{Method: sse.S3}
	plain := someBytes(workersSize)
	for _, workers := range []int{0, 1, 2} {
		most := 0
		dst := writerFunc(func(p []byte) (int, error) { most = max(most, len(p)); return len(p), nil })
		check := func(what string, n int64, err error) {
			if err != nil || (most > stream.PackageSize) != (workers > 0) {
				t.Errorf("%s, %d workers: %d bytes, %d at once, %v", what, workers, n, most, err)
			}
			most = 0
		}
		o := &sse.EncryptOptions{Workers: workers}
		n, err := must(sse.Encrypt(background, c, r, object, bytes.NewReader(plain), o)).WriteTo(dst)
		check("Encrypt", n, err)
		n, err = must(must(sse.NewMultipart(background, c, r, object)).Part(background, 1, bytes.NewReader(plain), o)).WriteTo(dst)
		check("Part", n, err)
		n, err = must(sse.EncryptAny(background, nil, sse.Request{}, object, bytes.NewReader(plain), o)).WriteTo(dst)
		if err != nil || (most >= 128<<10) != (workers > 1) { // what makes two hashes worth while
			t.Errorf("without encryption, %d workers: %d bytes, %d at once, %v", workers, n, most, err)
		}
		most = 0
		s := seal(t, c, r, object, plain, nil)
		obj := s.mustOpen(t, c, object, &sse.OpenOptions{Workers: workers})
		n, err = must(obj.NewReader(background, sse.FetchReaderAt(bytes.NewReader(s.data)), sse.Whole)).WriteTo(dst)
		check("Reader", n, err)
	}
}

func TestWorkersOptions(t *testing.T) {
	c := newClient(t)
	if _, err := sse.Encrypt(background, c, sse.Request{Method: sse.S3}, object, bytes.NewReader(nil), &sse.EncryptOptions{Workers: -1}); !errors.Is(err, sse.ErrInvalidRequest) {
		t.Errorf("Encrypt: %v", err)
	}
	s := seal(t, c, sse.Request{Method: sse.S3}, object, nil, nil)
	if _, err := s.open(c, object, &sse.OpenOptions{Workers: -1}); !errors.Is(err, sse.ErrInvalidRequest) {
		t.Errorf("Open: %v", err)
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// TestWorkersHash: MD5 and checksum run beside each other, and are those of the
// body all the same, whatever it is read in.
func TestWorkersHash(t *testing.T) {
	plain := someBytes(workersSize)
	c, n := newClient(t), workersSize
	for _, size := range []int{n, 1 << 20, 1} {
		for _, r := range []sse.Request{{}, {Method: sse.S3}} {
			u, err := sse.EncryptAny(background, c, r, object, bytes.NewReader(plain[:size]), &sse.EncryptOptions{Workers: 3, Checksum: sse.SHA256})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := u.WriteTo(io.Discard); err != nil {
				t.Fatal(err)
			}
			if sum := sumOf(sse.SHA256, plain[:size]); !bytes.Equal(u.Checksum().Value, sum) || u.ETag() != fmt.Sprintf("%x", md5Sum(string(plain[:size]))) {
				t.Errorf("%v, %d bytes: ETag %s, checksum %s", r.Method, size, u.ETag(), u.Checksum())
			}
		}
	}
}
