package sse_test

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/objseal/objseal/kms"
	"github.com/objseal/objseal/kms/static"
	"github.com/objseal/objseal/sse"
	"github.com/objseal/objseal/stream"
)

var (
	background = context.Background()
	object     = sse.ObjectName{Bucket: "bucket", Object: "dir/object"}
)

// newClient has the keys "one" (default) and "two".
func newClient(t testing.TB) *kms.Client {
	var keys []static.Key
	for _, name := range []string{"one", "two"} {
		k, err := static.NewKey(name)
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, k)
	}
	b, err := static.New(keys, "")
	if err != nil {
		t.Fatal(err)
	}
	return kms.NewClient(b, nil)
}

func customerKey(t testing.TB, fill byte) sse.CustomerKey {
	k, err := sse.NewCustomerKey(bytes.Repeat([]byte{fill}, 32))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// requests is one of each kind.
func requests(t testing.TB) map[string]sse.Request {
	return map[string]sse.Request{
		"SSE-S3":              {Method: sse.S3},
		"SSE-KMS":             {Method: sse.KMS, KMSKeyID: "two"},
		"SSE-KMS-context":     {Method: sse.KMS, Context: kms.AssociatedData{"tenant": "a", "<&>": "\x08\u2028"}},
		"SSE-KMS-own-context": {Method: sse.KMS, Context: kms.AssociatedData{"bucket": "mine"}},
		"SSE-C":               {Method: sse.C, CustomerKey: customerKey(t, 1)},
	}
}

func someBytes(n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{1}).Read(b)
	return b
}

// sealed is an object at rest.
type sealed struct {
	sse.Stored
	data []byte
	etag string
}

func seal(t testing.TB, c *kms.Client, r sse.Request, n sse.ObjectName, plain []byte, o *sse.EncryptOptions) sealed {
	t.Helper()
	u, err := sse.Encrypt(background, c, r, n, bytes.NewReader(plain), o)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if _, err := u.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	m, err := u.Metadata()
	if err != nil {
		t.Fatal(err)
	}
	return sealed{sse.Stored{Metadata: m, Size: int64(b.Len())}, b.Bytes(), u.ETag()}
}

func (s sealed) open(c *kms.Client, n sse.ObjectName, o *sse.OpenOptions) (*sse.Object, error) {
	return sse.Open(background, c, n, s.Stored, o)
}

func (s sealed) mustOpen(t testing.TB, c *kms.Client, n sse.ObjectName, o *sse.OpenOptions) *sse.Object {
	t.Helper()
	obj, err := s.open(c, n, o)
	if err != nil {
		t.Fatal(err)
	}
	return obj
}

func (s sealed) read(obj *sse.Object, r sse.Range) ([]byte, sse.Integrity, error) {
	rd, err := obj.NewReader(background, sse.FetchReaderAt(bytes.NewReader(s.data)), r)
	if err != nil {
		return nil, sse.Integrity{}, err
	}
	defer rd.Close()
	b, err := io.ReadAll(rd)
	return b, rd.Integrity(), err
}

func openWith(r sse.Request) *sse.OpenOptions { return &sse.OpenOptions{CustomerKey: r.CustomerKey} }

func TestRoundTrip(t *testing.T) {
	c := newClient(t)
	for name, r := range requests(t) {
		for _, size := range []int{0, 1, 65535, 65536, 65537, 131072, 200000} {
			for _, policy := range []sse.ETagPolicy{sse.ETagMD5, sse.ETagRandom, sse.ETagSupplied} {
				for _, checksum := range []sse.ChecksumType{sse.NoChecksum, sse.CRC32C, sse.CRC64NVME, sse.SHA256} {
					t.Run(fmt.Sprintf("%s/size=%d/etag=%d/checksum=%s", name, size, policy, checksum), func(t *testing.T) {
						plain := someBytes(size)
						sum := md5.Sum(plain)
						o := &sse.EncryptOptions{Policy: policy, Checksum: checksum, Size: sse.KnownSize(int64(size))}
						if policy == sse.ETagSupplied {
							o.ETag = sum[:]
						}
						s := seal(t, c, r, object, plain, o)
						if want, _ := stream.EncryptedSize(int64(size)); s.Size != want {
							t.Errorf("%d bytes stored, want %d", s.Size, want)
						}
						obj := s.mustOpen(t, c, object, openWith(r))
						got, integrity, err := s.read(obj, sse.Whole)
						if err != nil || !bytes.Equal(got, plain) {
							t.Fatalf("read %d bytes, %v", len(got), err)
						}
						proven := policy != sse.ETagRandom || checksum != sse.NoChecksum
						if (integrity.Level == sse.Content) != proven && !uuidShaped(sum[:]) {
							t.Errorf("integrity %+v", integrity)
						}
						if etag, err := obj.ETag(); err != nil || etag != s.etag || len(etag) != 32 {
							t.Errorf("ETag %q, %v; the upload said %q", etag, err, s.etag)
						}
						if r.Method == sse.S3 && policy != sse.ETagRandom && s.etag != hex.EncodeToString(sum[:]) {
							t.Errorf("ETag %s is not the MD5", s.etag)
						}
						sums, err := obj.Checksums()
						if err != nil || len(sums) != min(int(checksum), 1) {
							t.Errorf("checksums %v, %v", sums, err)
						}
					})
				}
			}
		}
	}
}

func uuidShaped(b []byte) bool { return b[6]>>4 == 4 && b[8]>>6 == 2 }

// TestUploadReaders gives the body and takes the ciphertext in every way.
func TestUploadReaders(t *testing.T) {
	c := newClient(t)
	plain := someBytes(70000)
	for name, body := range map[string]func(io.Reader) io.Reader{
		"plain": func(r io.Reader) io.Reader { return r }, "one byte": iotest.OneByteReader, "half": iotest.HalfReader, "data with EOF": iotest.DataErrReader,
	} {
		t.Run(name, func(t *testing.T) {
			u, err := sse.Encrypt(background, c, sse.Request{Method: sse.S3}, object, body(bytes.NewReader(plain)), nil)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := u.Metadata(); !errors.Is(err, sse.ErrIncompleteUpload) {
				t.Errorf("Metadata before the end: %v", err)
			}
			data, err := io.ReadAll(iotest.HalfReader(u))
			if err != nil {
				t.Fatal(err)
			}
			m, err := u.Metadata()
			if err != nil {
				t.Fatal(err)
			}
			if u.Size() != 70000 || u.StoredSize() != int64(len(data)) || u.KMSKeyID() != "one" {
				t.Errorf("size %d, stored %d, key %q", u.Size(), u.StoredSize(), u.KMSKeyID())
			}
			for k, v := range u.InitialMetadata() {
				if m[k] != v {
					t.Errorf("%s changed", k)
				}
			}
			s := sealed{sse.Stored{Metadata: m, Size: int64(len(data))}, data, ""}
			if got, _, err := s.read(s.mustOpen(t, c, object, nil), sse.Whole); err != nil || !bytes.Equal(got, plain) {
				t.Errorf("read %d bytes, %v", len(got), err)
			}
		})
	}
}

func TestUploadFails(t *testing.T) {
	c := newClient(t)
	cancelled, cancel := context.WithCancel(background)
	cancel()
	broken := errors.New("broken pipe")
	for _, test := range []struct {
		name string
		ctx  context.Context
		body io.Reader
		opts sse.EncryptOptions
		want error
	}{
		{"body shorter than announced", background, strings.NewReader("four"), sse.EncryptOptions{Size: sse.KnownSize(5)}, sse.ErrInvalidRequest},
		{"body longer than announced", background, strings.NewReader("four"), sse.EncryptOptions{Size: sse.KnownSize(3)}, sse.ErrInvalidRequest},
		{"announced as empty", background, strings.NewReader("four"), sse.EncryptOptions{Size: sse.KnownSize(0)}, sse.ErrInvalidRequest},
		{"body fails", background, io.MultiReader(bytes.NewReader(someBytes(65536)), iotest.ErrReader(broken)), sse.EncryptOptions{}, broken},
		{"cancelled", cancelled, strings.NewReader("four"), sse.EncryptOptions{}, context.Canceled},
		{"supplied ETag of another size", background, strings.NewReader(""), sse.EncryptOptions{Policy: sse.ETagSupplied, ETag: make([]byte, 15)}, sse.ErrInvalidRequest},
		{"supplied ETag of no size", background, strings.NewReader(""), sse.EncryptOptions{Policy: sse.ETagSupplied}, sse.ErrInvalidRequest},
		{"unknown checksum", background, strings.NewReader(""), sse.EncryptOptions{Checksum: 3}, sse.ErrInvalidRequest},
		{"unknown ETag policy", background, strings.NewReader(""), sse.EncryptOptions{Policy: 3}, sse.ErrInvalidRequest},
		{"negative ETag policy", background, strings.NewReader(""), sse.EncryptOptions{Policy: -1}, sse.ErrInvalidRequest},
		{"unknown cipher", background, strings.NewReader(""), sse.EncryptOptions{Cipher: 3}, sse.ErrInvalidRequest},
		{"negative size", background, strings.NewReader(""), sse.EncryptOptions{Size: new(int64(-1))}, sse.ErrInvalidRequest},
	} {
		t.Run(test.name, func(t *testing.T) {
			u, err := sse.Encrypt(test.ctx, c, sse.Request{Method: sse.S3}, object, test.body, &test.opts)
			if err != nil {
				if !errors.Is(err, test.want) || !strings.Contains(err.Error(), object.Object) {
					t.Errorf("got %v, want %v", err, test.want)
				}
				return
			}
			for range 2 { // errors stay
				if _, err = u.WriteTo(io.Discard); !errors.Is(err, test.want) || !strings.Contains(err.Error(), object.Object) {
					t.Errorf("WriteTo: %v, want %v with the object's name", err, test.want)
				}
				if n, again := u.Read(make([]byte, 100)); n != 0 || again != err {
					t.Errorf("Read: %d, %v; want %v", n, again, err)
				}
				if m, err := u.Metadata(); m != nil || !errors.Is(err, test.want) {
					t.Errorf("Metadata: %v, want %v", err, test.want)
				}
				if u.ETag() != "" {
					t.Errorf("ETag %q", u.ETag())
				}
			}
		})
	}
}

// TestUploadDestinationFails: a destination that fails, in whatever way, has
// not got the whole ciphertext, and there is no metadata for it.
func TestUploadDestinationFails(t *testing.T) {
	c := newClient(t)
	broken := errors.New("disk full")
	for _, size := range []int{0, 10, 200000} {
		for name, test := range map[string]struct {
			w    io.Writer
			want error
		}{"fails": {failingWriter{broken}, broken}, "fails with EOF": {failingWriter{io.EOF}, io.EOF}, "short": {shortWriter{}, io.ErrShortWrite}, "impossible count": {greedyWriter{}, nil}} {
			u, err := sse.Encrypt(background, c, sse.Request{Method: sse.S3}, object, bytes.NewReader(someBytes(size)), nil)
			if err != nil {
				t.Fatal(err)
			}
			_, err = u.WriteTo(test.w)
			if size == 0 { // nothing to write
				if err != nil {
					t.Errorf("%s, size %d: %v", name, size, err)
				}
				continue
			}
			if err == nil || test.want != nil && !errors.Is(err, test.want) || sse.KindOf(err) != sse.KindNone {
				t.Errorf("%s, size %d: %v", name, size, err)
			}
			if m, again := u.Metadata(); m != nil || again != err {
				t.Errorf("%s, size %d: metadata %v, %v", name, size, m, again)
			}
			if n, again := u.Read(make([]byte, 10)); n != 0 || again != err {
				t.Errorf("%s, size %d: Read: %d, %v", name, size, n, again)
			}
		}
	}
}

// TestUploadContract holds Upload to io.Reader and io.WriterTo.
func TestUploadContract(t *testing.T) {
	c := newClient(t)
	for _, size := range []int{0, 1, 65536, 200000} {
		plain := someBytes(size)
		u, err := sse.Encrypt(background, c, sse.Request{Method: sse.S3}, object, bytes.NewReader(plain), nil)
		if err != nil {
			t.Fatal(err)
		}
		if n, err := u.Read(nil); n != 0 || err != nil {
			t.Errorf("size %d: Read of nothing: %d, %v", size, n, err)
		}
		var data bytes.Buffer
		if _, err := io.CopyN(&data, u, int64(min(size, 70000))); err != nil {
			t.Fatal(err)
		}
		if n, err := u.WriteTo(&data); err != nil || data.Len() != int(u.StoredSize()) || n > u.StoredSize() {
			t.Errorf("size %d: WriteTo behind Read: %d bytes, %v; %d in all, %d counted", size, n, err, data.Len(), u.StoredSize())
		}
		for range 2 {
			if n, err := u.Read(make([]byte, 10)); n != 0 || err != io.EOF {
				t.Errorf("size %d: Read behind the end: %d, %v", size, n, err)
			}
			if n, err := u.WriteTo(&data); n != 0 || err != nil {
				t.Errorf("size %d: WriteTo behind the end: %d, %v", size, n, err)
			}
		}
		m, err := u.Metadata()
		if err != nil {
			t.Fatal(err)
		}
		m["etag"] = "changed by the caller"
		if again, _ := u.Metadata(); again["etag"] == m["etag"] {
			t.Error("Metadata gives the same map twice")
		}
		m, _ = u.Metadata()
		s := sealed{sse.Stored{Metadata: m, Size: u.StoredSize()}, data.Bytes(), ""}
		if got, i, err := s.read(s.mustOpen(t, c, object, nil), sse.Whole); err != nil || !bytes.Equal(got, plain) || i.Level != sse.Content {
			t.Errorf("size %d: read %d bytes, %+v, %v", size, len(got), i, err)
		}
	}
}

// TestSuppliedETagIsCopied: the caller's buffer may be used again meanwhile.
func TestSuppliedETagIsCopied(t *testing.T) {
	c := newClient(t)
	sum := md5.Sum([]byte("data"))
	want := hex.EncodeToString(sum[:])
	u, err := sse.Encrypt(background, c, sse.Request{Method: sse.S3}, object, strings.NewReader("data"), &sse.EncryptOptions{Policy: sse.ETagSupplied, ETag: sum[:]})
	if err != nil {
		t.Fatal(err)
	}
	clear(sum[:])
	if _, err := u.WriteTo(io.Discard); err != nil || u.ETag() != want {
		t.Errorf("ETag %q, %v; want %q", u.ETag(), err, want)
	}
}

func TestCipherOption(t *testing.T) {
	c := newClient(t)
	for cipher, id := range map[stream.Cipher]byte{stream.AES256GCM: 0, stream.ChaCha20Poly1305: 1} {
		s := seal(t, c, sse.Request{Method: sse.S3}, object, []byte("data"), &sse.EncryptOptions{Cipher: cipher})
		if s.data[1] != id {
			t.Errorf("%v: the stream has cipher %d", cipher, s.data[1])
		}
		if got, _, err := s.read(s.mustOpen(t, c, object, nil), sse.Whole); err != nil || string(got) != "data" {
			t.Errorf("%v: read %q, %v", cipher, got, err)
		}
	}
}

// TestCancelledUpload: the context ends an upload whose body does not know it.
func TestCancelledUpload(t *testing.T) {
	ctx, cancel := context.WithCancel(background)
	body := readerFunc(func(p []byte) (int, error) { cancel(); return len(p), nil })
	u, err := sse.Encrypt(ctx, nil, sse.Request{Method: sse.C, CustomerKey: customerKey(t, 1)}, object, body, nil)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := u.WriteTo(io.Discard); !errors.Is(err, context.Canceled) || n > 2*stream.PackageSize {
		t.Errorf("%d bytes, %v", n, err)
	}
	if m, err := u.Metadata(); m != nil || !errors.Is(err, context.Canceled) {
		t.Errorf("metadata %v, %v", m, err)
	}
}

// TestMapsAreCopies: what a caller does to a map it gave or got changes nothing.
func TestMapsAreCopies(t *testing.T) {
	c := newClient(t)
	u, err := sse.Encrypt(background, c, sse.Request{Method: sse.S3}, object, strings.NewReader("data"), nil)
	if err != nil {
		t.Fatal(err)
	}
	m, err := sse.NewMultipart(background, c, sse.Request{Method: sse.S3}, object)
	if err != nil {
		t.Fatal(err)
	}
	given := m.Metadata()
	resumed, err := sse.ResumeMultipart(background, c, object, given, nil)
	if err != nil {
		t.Fatal(err)
	}
	complete := func(m *sse.Multipart) map[string]string {
		md, err := m.Complete([]sse.CompletedPart{{Number: 1, ETag: "d41d8cd98f00b204e9800998ecf8427e"}})
		if err != nil {
			t.Fatal(err)
		}
		return md
	}
	initial := len(u.InitialMetadata())
	clear(given)
	clear(u.InitialMetadata())
	clear(m.Metadata())
	clear(complete(m))
	complete(m)
	if got := len(u.InitialMetadata()); got != initial {
		t.Errorf("initial metadata of %d entries, not %d", got, initial)
	}
	for name, m := range map[string]*sse.Multipart{"new": m, "resumed": resumed} {
		if got := len(m.Metadata()); got != initial+1 {
			t.Errorf("%s multipart upload: %d entries, not %d", name, got, initial+1)
		}
		if got := len(complete(m)); got != initial+3 {
			t.Errorf("%s multipart upload, complete: %d entries, not %d", name, got, initial+3)
		}
	}
	if _, err := u.WriteTo(io.Discard); err != nil {
		t.Fatal(err)
	}
	if md, err := u.Metadata(); err != nil || len(md) != initial+1 || len(u.InitialMetadata()) != initial {
		t.Errorf("%d entries, %v, then initially %d; want %d, %d", len(md), err, len(u.InitialMetadata()), initial+1, initial)
	}
}

func TestKnownSize(t *testing.T) {
	if n := sse.KnownSize(-1); n != nil {
		t.Errorf("-1 is %d", *n)
	}
	for _, want := range []int64{0, 1, 1 << 40} {
		if n := sse.KnownSize(want); n == nil || *n != want {
			t.Errorf("%d is %v", want, n)
		}
	}
}

// TestOptionsBeforeKeys: what cannot work asks no key server.
func TestOptionsBeforeKeys(t *testing.T) {
	c := kms.NewClient(newClient(t).Backend(), &kms.Options{Observe: func(c kms.Call) { t.Errorf("call to %s", c.Op) }})
	bad := &sse.EncryptOptions{Policy: 9}
	if _, err := sse.Encrypt(background, c, sse.Request{Method: sse.S3}, object, nil, bad); !errors.Is(err, sse.ErrInvalidRequest) {
		t.Errorf("options: %v", err)
	}
	if _, err := sse.Encrypt(background, c, sse.Request{Method: sse.KMS, Context: kms.AssociatedData{"a": "\xff"}}, object, nil, nil); !errors.Is(err, sse.ErrInvalidRequest) {
		t.Errorf("request: %v", err)
	}
}

func TestEncryptRefusesRequests(t *testing.T) {
	c := newClient(t)
	for name, r := range map[string]sse.Request{
		"none":                 {},
		"no such method":       {Method: 7},
		"SSE-C without key":    {Method: sse.C},
		"SSE-S3 customer key":  {Method: sse.S3, CustomerKey: customerKey(t, 1)},
		"SSE-S3 with context":  {Method: sse.S3, Context: kms.AssociatedData{"a": "b"}},
		"SSE-C with a KMS key": {Method: sse.C, CustomerKey: customerKey(t, 1), KMSKeyID: "one"},
		"SSE-KMS customer key": {Method: sse.KMS, CustomerKey: customerKey(t, 1)},
		"SSE-C with context":   {Method: sse.C, CustomerKey: customerKey(t, 1), Context: kms.AssociatedData{"a": "b"}},
		"method -1":            {Method: -1},
		// The canonical encoding of these is not the one that a reader gets from
		// what is stored: nobody could ever open the object.
		"context key is not UTF-8":   {Method: sse.KMS, Context: kms.AssociatedData{"\xff": "b"}},
		"context value is not UTF-8": {Method: sse.KMS, Context: kms.AssociatedData{"a": "b\xff"}},
		// And this is more than Open reads.
		"context too long": {Method: sse.KMS, Context: kms.AssociatedData{"a": strings.Repeat("b", 48<<10)}},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := sse.Encrypt(background, c, r, object, strings.NewReader(""), nil); !errors.Is(err, sse.ErrInvalidRequest) {
				t.Errorf("got %v, want ErrInvalidRequest", err)
			}
			if _, err := sse.NewMultipart(background, c, r, object); !errors.Is(err, sse.ErrInvalidRequest) {
				t.Errorf("multipart: got %v, want ErrInvalidRequest", err)
			}
		})
	}
	if u, err := sse.Encrypt(background, c, sse.Request{Method: sse.S3}, object, nil, nil); u != nil || !errors.Is(err, sse.ErrInvalidRequest) {
		t.Errorf("without a body: %v", err)
	}
	if _, err := sse.Encrypt(background, nil, sse.Request{Method: sse.S3}, object, nil, nil); !errors.Is(err, kms.ErrNotConfigured) {
		t.Errorf("without a client: %v", err)
	}
	if _, err := sse.Encrypt(background, c, sse.Request{Method: sse.KMS, KMSKeyID: "three"}, object, nil, nil); !errors.Is(err, kms.ErrKeyNotFound) {
		t.Errorf("unknown key: %v", err)
	}
}

// TestWhatIsSealedOpens: contexts at the edge of what is accepted.
func TestWhatIsSealedOpens(t *testing.T) {
	c := newClient(t)
	for name, context := range map[string]kms.AssociatedData{
		"longest": {"a": strings.Repeat("b", 48<<10-len(`{"a":""}`))}, "escaped": {"a": strings.Repeat("<", 8000)}, "empty": {}, "empty strings": {"": ""},
		"replacement character": {"a": "\ufffd"}, "bucket": {"bucket": ""}, "object name": {"bucket/dir/object": "x"},
	} {
		s := seal(t, c, sse.Request{Method: sse.KMS, Context: context}, object, []byte("data"), nil)
		obj, err := s.open(c, object, nil)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if !maps.Equal(obj.Context, context) {
			t.Errorf("%s: context %.100v", name, obj.Context)
		}
	}
}

// TestBinding: a sealed key opens under its own name, key and context only.
func TestBinding(t *testing.T) {
	c := newClient(t)
	for name, r := range requests(t) {
		for _, size := range []int{0, 100} {
			t.Run(fmt.Sprintf("%s/size=%d", name, size), func(t *testing.T) {
				s := seal(t, c, r, object, someBytes(size), nil)
				for _, other := range []sse.ObjectName{{"bucket", "dir/other"}, {"other", "dir/object"}, {"bucket", ""}, {"bucket", "dir/object2"}} {
					if _, err := s.open(c, other, openWith(r)); sse.KindOf(err) != sse.KindNotAuthentic {
						t.Errorf("opens as %s: %v", other, err)
					}
				}
				// The cleaned path is what counts (SSE spec section 1.2).
				for _, same := range []string{"dir//object", "./dir/object", "x/../dir/object", "dir/object/"} {
					if _, err := s.open(c, sse.ObjectName{Bucket: "bucket", Object: same}, openWith(r)); err != nil && r.Context["bucket"] == "" {
						t.Errorf("does not open as %q: %v", same, err)
					}
				}
				if r.Method == sse.C {
					if _, err := s.open(nil, object, &sse.OpenOptions{CustomerKey: customerKey(t, 2)}); !errors.Is(err, sse.ErrNotAuthentic) {
						t.Errorf("wrong customer key: %v", err)
					}
					if _, err := s.open(nil, object, nil); !errors.Is(err, sse.ErrCustomerKeyRequired) {
						t.Errorf("no customer key: %v", err)
					}
					return
				}
				if _, err := s.open(c, object, &sse.OpenOptions{CustomerKey: customerKey(t, 1)}); !errors.Is(err, sse.ErrCustomerKeyNotApplicable) {
					t.Errorf("with a customer key: %v", err)
				}
				if _, err := s.open(nil, object, nil); !errors.Is(err, kms.ErrNotConfigured) {
					t.Errorf("without a client: %v", err)
				}
				if _, err := s.open(newClient(t), object, nil); !errors.Is(err, kms.ErrNotAuthentic) {
					t.Errorf("with another key of the same name: %v", err)
				}
			})
		}
	}
}

func TestCancelledRead(t *testing.T) {
	c := newClient(t)
	s := seal(t, c, sse.Request{Method: sse.S3}, object, someBytes(200000), nil)
	ctx, cancel := context.WithCancel(background)
	r, err := s.mustOpen(t, c, object, nil).NewReader(ctx, sse.FetchReaderAt(bytes.NewReader(s.data)), sse.Whole)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(r, make([]byte, 10)); err != nil {
		t.Fatal(err)
	}
	cancel()
	if _, err := r.Read(make([]byte, 10)); !errors.Is(err, context.Canceled) {
		t.Errorf("Read: %v", err)
	}
	if n, err := r.WriteTo(io.Discard); n != 0 || !errors.Is(err, context.Canceled) {
		t.Errorf("WriteTo: %d, %v", n, err)
	}
}

func TestReaderPassesErrorsOn(t *testing.T) {
	c := newClient(t)
	s := seal(t, c, sse.Request{Method: sse.S3}, object, someBytes(200000), nil)
	obj := s.mustOpen(t, c, object, nil)
	broken := errors.New("disk on fire")
	fetch := func(err error) sse.Fetch {
		return func(_ context.Context, off, n int64) (io.ReadCloser, error) {
			return io.NopCloser(io.MultiReader(bytes.NewReader(s.data[off:70000]), iotest.ErrReader(err))), nil
		}
	}
	for _, test := range []struct{ give, want error }{{broken, broken}, {io.EOF, stream.ErrTruncated}, {io.ErrUnexpectedEOF, io.ErrUnexpectedEOF}} {
		r, err := obj.NewReader(background, fetch(test.give), sse.Whole)
		if err != nil {
			t.Fatal(err)
		}
		if b, err := io.ReadAll(r); !errors.Is(err, test.want) || len(b) != 65536 {
			t.Errorf("%v: read %d bytes, %v", test.give, len(b), err)
		}
		r, _ = obj.NewReader(background, fetch(test.give), sse.Whole)
		if n, err := r.WriteTo(io.Discard); !errors.Is(err, test.want) || n != 65536 {
			t.Errorf("%v: wrote %d bytes, %v", test.give, n, err)
		}
		if i := r.Integrity(); i.Level != "" {
			t.Errorf("integrity after a failure: %+v", i)
		}
	}
	if _, err := obj.NewReader(background, func(context.Context, int64, int64) (io.ReadCloser, error) { return nil, broken }, sse.Whole); !errors.Is(err, broken) {
		t.Errorf("fetch fails: %v", err)
	}
	r, _ := obj.NewReader(background, sse.FetchReaderAt(bytes.NewReader(s.data)), sse.Whole)
	if n, err := r.WriteTo(failingWriter{broken}); n != 0 || !errors.Is(err, broken) {
		t.Errorf("writer fails: %d, %v", n, err)
	}
}

type failingWriter struct{ err error }

func (w failingWriter) Write([]byte) (int, error) { return 0, w.err }

// TestContentIsCompared: packages alone would let through what this does not.
func TestContentIsCompared(t *testing.T) {
	c := newClient(t)
	r := sse.Request{Method: sse.C, CustomerKey: customerKey(t, 1)}
	m, err := sse.NewMultipart(background, c, r, object)
	if err != nil {
		t.Fatal(err)
	}
	// Two uploads of one part under one key: either is authentic, only one was
	// completed. Complete has no digest of content, so give it one: a checksum
	// sealed for the part is sealed for the object.
	s := multipart(t, m, []int{1}, [][]byte{[]byte("first try")}, &sse.EncryptOptions{Checksum: sse.SHA256})
	other := multipart(t, m, []int{1}, [][]byte{[]byte("other try")}, &sse.EncryptOptions{Checksum: sse.SHA256})
	s.Metadata["x-minio-internal-crc"] = s.partMetadata[0]["x-minio-internal-crc"]
	obj := s.mustOpen(t, nil, object, openWith(r))
	if got, i, err := s.read(obj, sse.Whole); err != nil || string(got) != "first try" || i.Level != sse.Content {
		t.Errorf("read %q, %+v, %v", got, i, err)
	}
	s.data = other.data
	if _, _, err := s.read(obj, sse.Whole); !errors.Is(err, sse.ErrTampered) {
		t.Errorf("an exchanged part: %v", err)
	}
	if got, _, err := s.read(obj, sse.Range{Offset: 0, Length: 5}); err != nil || string(got) != "other" {
		t.Errorf("a range, which only packages vouch for: %q, %v", got, err)
	}
	loose := openWith(r)
	loose.SkipContentCheck = true
	if _, i, err := s.read(s.mustOpen(t, nil, object, loose), sse.Whole); err != nil || i.Level != sse.Packages {
		t.Errorf("without the check: %+v, %v", i, err)
	}
}

// multipartSealed is a multipart object at rest.
type multipartSealed struct {
	sealed
	partMetadata []map[string]string
}

func multipart(t testing.TB, m *sse.Multipart, numbers []int, parts [][]byte, o *sse.EncryptOptions) multipartSealed {
	t.Helper()
	var s multipartSealed
	var done []sse.CompletedPart
	for i, plain := range parts {
		u, err := m.Part(background, numbers[i], bytes.NewReader(plain), o)
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		if _, err := u.WriteTo(&b); err != nil {
			t.Fatal(err)
		}
		data := b.Bytes()
		md, err := u.Metadata()
		if err != nil {
			t.Fatal(err)
		}
		s.partMetadata = append(s.partMetadata, md)
		s.data = append(s.data, data...)
		s.Parts = append(s.Parts, sse.Part{Number: numbers[i], Size: int64(len(data)), ActualSize: int64(len(plain))})
		done = append(done, sse.CompletedPart{Number: numbers[i], ETag: u.ETag(), ActualSize: u.Size()})
	}
	md, err := m.Complete(done)
	if err != nil {
		t.Fatal(err)
	}
	s.Metadata, s.Size = md, int64(len(s.data))
	return s
}

// TestMultipart: part numbers with gaps, ranges at every package and part
// boundary, against the plaintext itself (SSE spec section 16, case 9).
func TestMultipart(t *testing.T) {
	c := newClient(t)
	for name, r := range requests(t) {
		t.Run(name, func(t *testing.T) {
			m, err := sse.NewMultipart(background, c, r, object)
			if err != nil {
				t.Fatal(err)
			}
			first, err := m.Part(background, 1, strings.NewReader("x"), nil)
			if err != nil {
				t.Fatal(err)
			}
			if md, err := first.Metadata(); md != nil || err == nil {
				t.Error("a part has metadata before it was read")
			}
			// Another process goes on with the upload.
			if m, err = sse.ResumeMultipart(background, c, object, m.Metadata(), openWith(r)); err != nil {
				t.Fatal(err)
			}
			sizes := []int{65536*2 + 7, 65536, 1, 65536*3 - 1, 100}
			var whole []byte
			var parts [][]byte
			for _, n := range sizes {
				parts = append(parts, someBytes(len(whole) + n)[len(whole):])
				whole = append(whole, parts[len(parts)-1]...)
			}
			s := multipart(t, m, []int{1, 3, 7, 8, 10000}, parts, nil)
			obj := s.mustOpen(t, c, object, openWith(r))
			if !obj.Multipart || obj.Size != int64(len(whole)) {
				t.Fatalf("%+v", obj.Description)
			}
			if etag, err := obj.ETag(); err != nil || !strings.HasSuffix(etag, "-5") || len(etag) != 34 {
				t.Errorf("ETag %q, %v", etag, err)
			}
			if got, _, err := s.read(obj, sse.Whole); err != nil || !bytes.Equal(got, whole) {
				t.Fatalf("read %d bytes, %v", len(got), err)
			}
			var edges []int64
			var at int64
			for _, n := range sizes {
				for k := at; k < at+int64(n); k += 65536 {
					edges = append(edges, k-1, k, k+1)
				}
				at += int64(n)
			}
			edges = append(edges, at-1)
			for _, a := range edges {
				for _, b := range edges {
					if a < 0 || b < a || b >= at {
						continue
					}
					if got, _, err := s.read(obj, sse.Range{Offset: a, Length: b - a + 1}); err != nil || !bytes.Equal(got, whole[a:b+1]) {
						t.Fatalf("range %d-%d: %d bytes, %v", a, b, len(got), err)
					}
				}
			}
			for _, bad := range []sse.Range{{at, 1}, {at, -1}, {0, 0}, {-5, 3}, {0, -2}} {
				if _, _, err := s.read(obj, bad); !errors.Is(err, sse.ErrRange) {
					t.Errorf("range %v: %v", bad, err)
				}
			}
			for _, r := range []sse.Range{{-3, -1}, {at - 3, 100}} {
				if got, _, err := s.read(obj, r); err != nil || !bytes.Equal(got, whole[at-3:]) {
					t.Errorf("range %v: %q, %v", r, got, err)
				}
			}
			if got, _, err := s.read(obj, sse.Range{Offset: -at - 5, Length: -1}); err != nil || !bytes.Equal(got, whole) {
				t.Errorf("more last bytes than there are: %d bytes, %v", len(got), err)
			}
		})
	}
}

// TestMultipartTampered exchanges, drops, doubles and renumbers parts.
func TestMultipartTampered(t *testing.T) {
	c := newClient(t)
	m, err := sse.NewMultipart(background, c, sse.Request{Method: sse.S3}, object)
	if err != nil {
		t.Fatal(err)
	}
	good := multipart(t, m, []int{1, 2, 3}, [][]byte{someBytes(100), someBytes(100), someBytes(65537)}, nil)
	for name, change := range map[string]func(s *multipartSealed){
		"doubled with its data": func(s *multipartSealed) {
			s.Parts = append(s.Parts, s.Parts[2])
			s.data = append(bytes.Clone(s.data), s.data[264:]...)
			s.Size = int64(len(s.data))
		},
		"doubled with its data, next number": func(s *multipartSealed) {
			s.Parts = append(s.Parts, s.Parts[2])
			s.Parts[3].Number++
			s.data = append(bytes.Clone(s.data), s.data[264:]...)
			s.Size = int64(len(s.data))
		},
		"one stored byte more": func(s *multipartSealed) { s.Size++ },
		"exchanged data": func(s *multipartSealed) {
			s.data = append(append(bytes.Clone(s.data[132:264]), s.data[:132]...), s.data[264:]...)
		},
		"renumbered":         func(s *multipartSealed) { s.Parts[2].Number = 4 },
		"out of order":       func(s *multipartSealed) { s.Parts[0], s.Parts[1] = s.Parts[1], s.Parts[0] },
		"number 0":           func(s *multipartSealed) { s.Parts[0].Number = 0 },
		"number 10001":       func(s *multipartSealed) { s.Parts[2].Number = 10001 },
		"merged":             func(s *multipartSealed) { s.Parts[1].Size += s.Parts[0].Size; s.Parts = s.Parts[1:] },
		"dropped from list":  func(s *multipartSealed) { s.Parts = s.Parts[:2] },
		"dropped altogether": func(s *multipartSealed) { s.Parts = s.Parts[:2]; s.Size = 264; s.data = s.data[:264] },
		"doubled":            func(s *multipartSealed) { s.Parts = append(s.Parts, s.Parts[2]) },
		"negative size":      func(s *multipartSealed) { s.Parts[0].Size = -1 },
		"huge size":          func(s *multipartSealed) { s.Parts[0].Size = 1 << 62 },
		"size of no stream": func(s *multipartSealed) {
			s.Parts[0].Size--
			s.Parts[1].Size++
			s.Parts[0].Size -= 110
			s.Parts[1].Size += 110
		},
		"too many parts": func(s *multipartSealed) {
			for len(s.Parts) <= 10000 {
				s.Parts = append(s.Parts, sse.Part{Number: len(s.Parts) + 1})
			}
		},
		"no list":             func(s *multipartSealed) { s.Parts = nil },
		"flag taken away":     func(s *multipartSealed) { delete(s.Metadata, "X-Minio-Internal-Encrypted-Multipart") },
		"actual size changed": func(s *multipartSealed) { s.Metadata["X-Minio-Internal-actual-size"] = "5" },
		"actual size is text": func(s *multipartSealed) { s.Metadata["X-Minio-Internal-actual-size"] = "five" },
		"data cut at a part":  func(s *multipartSealed) { s.data = s.data[:264] },
		"data cut in a part":  func(s *multipartSealed) { s.data = s.data[:len(s.data)-1] },
	} {
		t.Run(name, func(t *testing.T) {
			s := good
			s.Metadata, s.Parts = maps.Clone(good.Metadata), append([]sse.Part{}, good.Parts...)
			change(&s)
			for _, sized := range []bool{true, false} {
				if !sized { // the format has nothing else to see these by
					if name == "dropped altogether" || strings.HasPrefix(name, "actual size") {
						continue
					}
					delete(s.Metadata, metaActual)
				}
				obj, err := s.open(c, object, nil)
				if err == nil {
					_, _, err = s.read(obj, sse.Whole)
				}
				if k := sse.KindOf(err); k != sse.KindTampered && k != sse.KindTruncated && k != sse.KindInvalidRequest {
					t.Errorf("with %s %v: accepted, or of kind %q: %v", metaActual, sized, k, err)
				}
			}
		})
	}
}

// TestMultipartFlagWithWholeETag: copies have kept the flag of a multipart source
// over a single stream; an ETag of 32 digits tells (SSE spec section 6).
func TestMultipartFlagWithWholeETag(t *testing.T) {
	c := newClient(t)
	s := seal(t, c, sse.Request{Method: sse.S3}, object, []byte("data"), nil)
	s.Metadata[metaMP], s.Metadata["etag"] = "", "8d777f385d3dfec8815d20f7496026dc"
	s.Parts = []sse.Part{{Number: 1, Size: s.Size, ActualSize: 4}}
	obj := s.mustOpen(t, c, object, nil)
	if got, _, err := s.read(obj, sse.Whole); err != nil || string(got) != "data" || obj.Multipart {
		t.Errorf("read %q, %+v, %v", got, obj.Description, err)
	}
}

// TestActualSizeIsNotNeeded: parts that are not compressed have the size of
// their packages, whatever else is said.
func TestActualSizeIsNotNeeded(t *testing.T) {
	c := newClient(t)
	m, err := sse.NewMultipart(background, c, sse.Request{Method: sse.S3}, object)
	if err != nil {
		t.Fatal(err)
	}
	s := multipart(t, m, []int{1, 2, 3}, [][]byte{[]byte("one"), nil, []byte("three")}, nil)
	s.Parts[0].ActualSize, s.Parts[1].ActualSize, s.Parts[2].ActualSize = -1, 1<<62, 0
	if got, _, err := s.read(s.mustOpen(t, c, object, nil), sse.Whole); err != nil || string(got) != "onethree" {
		t.Errorf("read %q, %v", got, err)
	}
}

func TestMultipartRefuses(t *testing.T) {
	c := newClient(t)
	m, err := sse.NewMultipart(background, c, sse.Request{Method: sse.S3}, object)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{-1, 0, 10001} {
		if _, err := m.Part(background, n, nil, nil); !errors.Is(err, sse.ErrInvalidRequest) {
			t.Errorf("part %d: %v", n, err)
		}
	}
	const etag = "d41d8cd98f00b204e9800998ecf8427e"
	for name, parts := range map[string][]sse.CompletedPart{
		"none": nil, "out of order": {{2, etag, 1, nil}, {1, etag, 1, nil}}, "twice": {{1, etag, 1, nil}, {1, etag, 1, nil}}, "no ETag": {{1, "", 1, nil}}, "number 0": {{0, etag, 1, nil}},
		"sealed ETag": {{1, strings.Repeat("20", 48), 1, nil}}, "negative size": {{1, etag, -1, nil}}, "number 10001": {{10001, etag, 1, nil}}, "ETag not hexadecimal": {{1, "x" + etag[1:], 1, nil}},
		"more than an object holds": {{1, etag, 1<<63 - 1, nil}, {2, etag, 1, nil}}, "more than a part holds": {{1, etag, 1<<48 + 1, nil}},
	} {
		if _, err := m.Complete(parts); !errors.Is(err, sse.ErrInvalidRequest) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := m.Part(background, 1, nil, &sse.EncryptOptions{Policy: 9}); !errors.Is(err, sse.ErrInvalidRequest) {
		t.Errorf("options: %v", err)
	}
	if _, err := m.Complete([]sse.CompletedPart{{1, `"` + etag + `"`, 1 << 48, nil}, {10000, strings.ToUpper(etag), 0, nil}}); err != nil {
		t.Errorf("quoted and in capitals: %v", err)
	}
	s := seal(t, c, sse.Request{Method: sse.S3}, object, nil, nil)
	if _, err := sse.ResumeMultipart(background, c, object, s.Metadata, nil); !errors.Is(err, sse.ErrInvalidRequest) {
		t.Errorf("resume of a single object: %v", err)
	}
	if _, err := sse.ResumeMultipart(background, c, sse.ObjectName{Bucket: "bucket", Object: "other"}, m.Metadata(), nil); !errors.Is(err, kms.ErrNotAuthentic) {
		t.Errorf("resume of another object: %v", err)
	}
	begun, err := m.Part(background, 1, strings.NewReader("data"), nil)
	if err != nil {
		t.Fatal(err)
	}
	m.Wipe()
	if _, err := io.ReadAll(begun); err != nil {
		t.Errorf("a part begun before Wipe: %v", err)
	}
	if md, err := begun.Metadata(); err != nil || len(md["etag"]) != 96 {
		t.Errorf("its metadata: %v, %v", md, err)
	}
	if _, err := m.Part(background, 1, nil, nil); err == nil || !strings.Contains(err.Error(), "wiped") {
		t.Errorf("a part after Wipe: %v", err)
	}
}

func TestRewrap(t *testing.T) {
	c := newClient(t)
	plain := someBytes(70000)
	for name, r := range requests(t) {
		t.Run(name, func(t *testing.T) {
			s := seal(t, c, r, object, plain, &sse.EncryptOptions{Checksum: sse.CRC32})
			before := maps.Clone(s.Metadata)
			to, opts := sse.Request{KMSKeyID: "two"}, openWith(r)
			if r.Method == sse.C {
				to = sse.Request{CustomerKey: customerKey(t, 9)}
			}
			m, err := sse.Rewrap(background, c, object, s.Metadata, to, opts)
			if err != nil {
				t.Fatal(err)
			}
			if !maps.Equal(before, s.Metadata) {
				t.Error("the metadata given was changed")
			}
			old := s.mustOpen(t, c, object, opts)
			if r.Method == sse.C {
				old := s
				old.Metadata = m
				if _, err := old.open(c, object, opts); !errors.Is(err, sse.ErrNotAuthentic) {
					t.Errorf("opens with the old key: %v", err)
				}
			}
			s.Metadata = m
			obj := s.mustOpen(t, c, object, openWith(to))
			if r.Method != sse.C && (obj.KMSKeyID != "two" || !maps.Equal(obj.Context, r.Context)) {
				t.Errorf("%+v", obj.Description)
			}
			etag, _ := old.ETag()
			if now, err := obj.ETag(); err != nil || now != etag {
				t.Errorf("ETag %q, %v; was %q", now, err, etag)
			}
			got, i, err := s.read(obj, sse.Whole)
			if err != nil || !bytes.Equal(got, plain) || i.Level != sse.Content {
				t.Errorf("read %d bytes, %+v, %v", len(got), i, err)
			}
		})
	}
}

func TestRewrapContextAndRefusals(t *testing.T) {
	c := newClient(t)
	s := seal(t, c, sse.Request{Method: sse.KMS, Context: kms.AssociatedData{"a": "1"}}, object, nil, nil)
	m, err := sse.Rewrap(background, c, object, s.Metadata, sse.Request{Context: kms.AssociatedData{"b": "2"}}, nil)
	if err == nil {
		s.Metadata = m
		obj := s.mustOpen(t, c, object, nil)
		if !maps.Equal(obj.Context, kms.AssociatedData{"b": "2"}) || obj.KMSKeyID != "one" {
			t.Errorf("%+v", obj.Description)
		}
		if m, err = sse.Rewrap(background, c, object, s.Metadata, sse.Request{Context: kms.AssociatedData{}}, nil); err == nil {
			s.Metadata = m
			if obj := s.mustOpen(t, c, object, nil); len(obj.Context) != 0 {
				t.Errorf("%+v", obj.Description)
			}
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	for name, to := range map[string]sse.Request{"to SSE-S3": {Method: sse.S3}, "to SSE-C": {Method: sse.C, CustomerKey: customerKey(t, 1)}, "customer key": {CustomerKey: customerKey(t, 1)}} {
		if _, err := sse.Rewrap(background, c, object, s.Metadata, to, nil); !errors.Is(err, sse.ErrInvalidRequest) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := sse.Rewrap(background, c, object, s.Metadata, sse.Request{KMSKeyID: "three"}, nil); !errors.Is(err, kms.ErrKeyNotFound) {
		t.Errorf("unknown key: %v", err)
	}
	if _, err := sse.Rewrap(background, c, sse.ObjectName{Bucket: "b", Object: "o"}, s.Metadata, sse.Request{}, nil); !errors.Is(err, kms.ErrNotAuthentic) {
		t.Errorf("another name: %v", err)
	}
}

// TestRewrapAs: between key servers, to another name, both at once; the data
// is not looked at.
func TestRewrapAs(t *testing.T) {
	from, into := newClient(t), newClient(t)
	plain := someBytes(70000)
	other := sse.ObjectName{Bucket: "another-bucket", Object: "copy"}
	for name, r := range requests(t) {
		for _, as := range []sse.ObjectName{object, other} {
			s := seal(t, from, r, object, plain, &sse.EncryptOptions{Checksum: sse.CRC32C})
			to := sse.Request{Method: r.Method, CustomerKey: r.CustomerKey}
			if r.Method == sse.KMS {
				to.Context = kms.AssociatedData{"new": "context"}
			}
			if !sse.KeepsData(s.Metadata, to) {
				t.Errorf("%s: KeepsData says no", name)
			}
			m, err := sse.RewrapAs(background, from, object, s.Metadata, openWith(r), into, as, to)
			if err != nil {
				t.Fatal(err)
			}
			moved := s
			moved.Metadata = m
			obj := moved.mustOpen(t, into, as, openWith(to))
			if etag, err := obj.ETag(); err != nil || etag != s.etag || !maps.Equal(obj.Context, to.Context) {
				t.Errorf("%s: ETag %q, %v; was %q; %+v", name, etag, err, s.etag, obj.Description)
			}
			if got, i, err := moved.read(obj, sse.Whole); err != nil || !bytes.Equal(got, plain) || i.Level != sse.Content {
				t.Errorf("%s: %d bytes, %+v, %v", name, len(got), i, err)
			}
			if err := sse.CheckKeys(background, into, as, m, openWith(to)); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			if r.Method != sse.C {
				if err := sse.CheckKeys(background, from, as, m, nil); !errors.Is(err, kms.ErrNotAuthentic) {
					t.Errorf("%s: the old key server opens it: %v", name, err)
				}
			}
			if as != object {
				if err := sse.CheckKeys(background, into, object, m, openWith(to)); sse.KindOf(err) != sse.KindNotAuthentic {
					t.Errorf("%s: opens under its old name: %v", name, err)
				}
			}
		}
	}
	// A copy has the context that its request names, not that of its source.
	withContext := seal(t, from, sse.Request{Method: sse.KMS, Context: kms.AssociatedData{"a": "b"}}, object, nil, nil)
	for _, o := range []*sse.RequestOptions{nil, {AutoEncryption: true}} {
		h := http.Header{amz: {"aws:kms"}}
		if o != nil {
			h = nil
		}
		r, err := sse.ParseRequest(sse.CopyObject, other, h, o)
		if err != nil {
			t.Fatal(err)
		}
		m, err := sse.RewrapAs(background, from, object, withContext.Metadata, nil, into, other, r)
		if err != nil {
			t.Fatal(err)
		}
		if d, err := sse.DescribeKeys(m); err != nil || len(d.Context) > 0 {
			t.Errorf("the copy has %+v, %v", d, err)
		}
	}
	s := seal(t, from, sse.Request{Method: sse.S3}, object, nil, nil)
	if sse.KeepsData(s.Metadata, sse.Request{}) || sse.KeepsData(s.Metadata, sse.Request{Method: sse.KMS}) || sse.KeepsData(nil, sse.Request{}) {
		t.Error("KeepsData says yes to another scheme")
	}
}

// TestOneCallPerObject: an upload is one GenerateKey, an open one Decrypt, and
// reading asks no more.
func TestOneCallPerObject(t *testing.T) {
	var calls []kms.Operation
	c := kms.NewClient(newClient(t).Backend(), &kms.Options{Observe: func(c kms.Call) { calls = append(calls, c.Op) }})
	s := seal(t, c, sse.Request{Method: sse.KMS}, object, someBytes(100), nil)
	obj := s.mustOpen(t, c, object, nil)
	for range 3 {
		if _, _, err := s.read(obj, sse.Whole); err != nil {
			t.Fatal(err)
		}
	}
	if len(calls) != 2 || calls[0] != kms.OpGenerateKey || calls[1] != kms.OpDecrypt {
		t.Errorf("calls %q", calls)
	}
}
