package bench_test

import (
	"bytes"
	"crypto/md5"
	"fmt"
	"hash"
	"sync"
	"testing"

	md5simd "github.com/minio/md5-simd"

	"github.com/objseal/objseal/bench/objects"
	"github.com/objseal/objseal/bench/peers"
)

func BenchmarkSealObject(b *testing.B) { runObjects(b, false) }
func BenchmarkOpenObject(b *testing.B) { runObjects(b, true) }

var (
	objectSizes = []size{64, kiB, 64 * kiB, miB}
	etags       = []string{"none", "md5"}
)

// runObjects measures whole objects, all that a backend does for a request with
// a built-in key.
func runObjects(b *testing.B, opens bool) {
	for _, etag := range etags {
		for _, n := range objectSizes {
			for _, impl := range objects.Implementations {
				b.Run(fmt.Sprintf("etag=%s/size=%v/impl=%s", etag, n, impl.Name), func(b *testing.B) {
					o := newObject(impl, etag, n)
					if err := o.seal(); err != nil {
						b.Fatal(err)
					}
					do := o.seal
					if opens {
						do = o.open
					}
					b.SetBytes(int64(n))
					b.ReportAllocs()
					for b.Loop() {
						if err := do(); err != nil {
							b.Fatal(err)
						}
					}
				})
			}
		}
	}
}

// objectRun seals and opens one object over and over.
type objectRun struct {
	codec    objects.Codec
	object   objects.Object
	plain    []byte
	body     source
	buf      []byte
	sealed   peers.Buffer
	metadata map[string]string
	out      peers.Buffer
}

func newObject(impl objects.Implementation, etag string, n size) *objectRun {
	return &objectRun{
		codec:  impl.New(&benchKey),
		object: objects.Object{Bucket: "bucket", Name: "reports/2026/report.pdf", MD5: etag == "md5"},
		plain:  plaintext(n),
		buf:    make([]byte, peers.CopySize(int(n))),
		sealed: peers.Buffer{B: make([]byte, 0, n+n/1024+64)},
		out:    peers.Buffer{B: make([]byte, 0, n)},
	}
}

func (o *objectRun) seal() (err error) {
	o.body.bytes.Reset(o.plain)
	o.sealed.B = o.sealed.B[:0]
	o.metadata, err = o.codec.Seal(o.object, &o.sealed, &o.body, o.buf)
	return err
}

func (o *objectRun) open() error {
	o.out.B = o.out.B[:0]
	return o.codec.Open(o.object, &o.out, bytes.NewReader(o.sealed.B), int64(len(o.sealed.B)), o.metadata, o.buf)
}

// BenchmarkMD5 is what the ETag costs, and what a server with several uploads
// at once would gain by an MD5 that works on several of them in one core.
func BenchmarkMD5(b *testing.B) {
	server := md5simd.NewServer()
	defer server.Close()
	for _, streams := range []int{1, 8, 16} {
		for _, n := range objectSizes[1:] {
			for _, impl := range []struct {
				name string
				new  func() (h hash.Hash, close func())
			}{
				{"crypto-md5", func() (hash.Hash, func()) { return md5.New(), func() {} }},
				{"md5-simd", func() (hash.Hash, func()) { h := server.NewHash(); return h, h.Close }},
			} {
				b.Run(fmt.Sprintf("streams=%d/size=%v/impl=%s", streams, n, impl.name), func(b *testing.B) {
					plain := plaintext(n)
					b.SetBytes(int64(streams) * int64(n))
					b.ReportAllocs()
					for b.Loop() {
						var all sync.WaitGroup
						for range streams {
							all.Go(func() {
								h, closeHash := impl.new()
								defer closeHash()
								h.Write(plain)
								h.Sum(nil)
							})
						}
						all.Wait()
					}
				})
			}
		}
	}
}
