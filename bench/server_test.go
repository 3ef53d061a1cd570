package bench_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"testing"

	"github.com/objseal/objseal/bench/peers"
	"github.com/objseal/objseal/internal/aead"
)

// What a server with many streams sees: a thousand at once, the memory that they
// hold, and files.

const openStreams = 1000

// contenders are the implementations that a server could choose.
func contenders() []peers.Stream {
	return slices.DeleteFunc(slices.Clone(peers.Streams), func(s peers.Stream) bool { return s.Name != "objseal" && s.Name != "sio" })
}

// waiting is a source that lets the others run before each Read, as a connection
// does, so that all streams are open at once.
type waiting struct{ source }

func (w *waiting) Read(p []byte) (int, error) {
	runtime.Gosched()
	return w.source.Read(p)
}

// BenchmarkConcurrentStreams seals a thousand objects at once. One run is all of
// them.
func BenchmarkConcurrentStreams(b *testing.B) {
	const n = 64 * kiB
	for _, cipher := range aead.Ciphers {
		for _, impl := range contenders() {
			b.Run(fmt.Sprintf("cipher=%v/size=%v/streams=%d/impl=%s", cipher, n, openStreams, impl.Name), func(b *testing.B) {
				codec := impl.New(cipher, &benchKey, 0)
				plain := plaintext(n)
				sources, sinks, buffers := make([]waiting, openStreams), make([]sink, openStreams), new(sync.Pool)
				buffers.New = func() any { return new([32 << 10]byte) } // io.Copy's, for those who need it
				one := func(i int) error {
					sources[i].bytes.Reset(plain)
					r, err := codec.EncryptReader(&sources[i])
					if err != nil {
						return err
					}
					if w, ok := r.(io.WriterTo); ok {
						_, err = w.WriteTo(&sinks[i])
						return err
					}
					buf := buffers.Get().(*[32 << 10]byte)
					defer buffers.Put(buf)
					return peers.Copy(&sinks[i], r, buf[:])
				}
				b.SetBytes(openStreams * int64(n))
				b.ReportAllocs()
				for b.Loop() {
					failed := make(chan error, openStreams)
					var all sync.WaitGroup
					for i := range openStreams {
						all.Go(func() {
							if err := one(i); err != nil {
								failed <- err
							}
						})
					}
					all.Wait()
					if len(failed) > 0 {
						b.Fatal(<-failed)
					}
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/openStreams, "ns/object")
			})
		}
	}
}

// A direction is a way of using a stream; begin opens one and brings it to the
// middle. What it returns is the open stream.
type direction struct {
	name  string
	begin func(c peers.Codec, plain, sealed []byte) (any, error)
}

var directions = []direction{
	{"EncryptReader", func(c peers.Codec, plain, _ []byte) (any, error) { return halfRead(c.EncryptReader, plain) }},
	{"DecryptReader", func(c peers.Codec, _, sealed []byte) (any, error) { return halfRead(c.DecryptReader, sealed) }},
	{"EncryptWriter", func(c peers.Codec, plain, _ []byte) (any, error) { return halfWritten(c.EncryptWriter, plain) }},
	{"DecryptWriter", func(c peers.Codec, _, sealed []byte) (any, error) { return halfWritten(c.DecryptWriter, sealed) }},
}

// step is how much is read or written at once: less than any object, so that the
// stream is in the middle of a package.
const step = 100

func halfRead(open func(io.Reader) (io.Reader, error), data []byte) (any, error) {
	r, err := open(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	for n := 0; n < len(data)/2; {
		var p [step]byte
		m, err := r.Read(p[:])
		if err != nil {
			return nil, err
		}
		n += m
	}
	return r, nil
}

func halfWritten(open func(io.Writer) (io.WriteCloser, error), data []byte) (any, error) {
	w, err := open(io.Discard)
	if err != nil {
		return nil, err
	}
	for n := 0; n < len(data)/2; n += step {
		if _, err := w.Write(data[n : n+step]); err != nil {
			return nil, err
		}
	}
	return w, nil
}

// BenchmarkHeapPerStream tells how much of the heap an open stream holds in its
// middle, with all it has: object, key, buffer. The time says nothing and is
// left out.
func BenchmarkHeapPerStream(b *testing.B) {
	for _, cipher := range aead.Ciphers {
		for _, n := range []size{kiB, 4 * kiB, miB} {
			for _, d := range directions {
				for _, impl := range contenders() {
					b.Run(fmt.Sprintf("cipher=%v/size=%v/stream=%s/impl=%s", cipher, n, d.name, impl.Name), func(b *testing.B) {
						var held float64
						for b.Loop() {
							var err error
							if held, err = heapPerStream(impl, cipher, n, d, openStreams); err != nil {
								b.Fatal(err)
							}
						}
						b.ReportMetric(held, "B/stream")
						b.ReportMetric(0, "ns/op")
					})
				}
			}
		}
	}
}

func heapPerStream(impl peers.Stream, cipher aead.Cipher, n size, d direction, count int) (float64, error) {
	codec := impl.New(cipher, &benchKey, 0)
	plain := plaintext(n)
	sealed, err := codec.SealAll(plain)
	if err != nil {
		return 0, err
	}
	open := make([]any, 0, count)
	before := heap()
	for range count {
		s, err := d.begin(codec, plain, sealed)
		if err != nil {
			return 0, err
		}
		open = append(open, s)
	}
	held := heap() - before
	runtime.KeepAlive(open)
	return float64(held) / float64(count), nil
}

// heap returns how much is on the heap after everything that nobody holds is
// gone; what is in a sync.Pool goes with the second collection.
func heap() int64 {
	for range 3 {
		runtime.GC()
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// BenchmarkFileCopy takes a file to another one, both in the page cache. The
// same as whole processes: go run ./files.
func BenchmarkFileCopy(b *testing.B) {
	for _, op := range []string{"encrypt", "decrypt"} {
		for _, n := range []size{64 * miB, giB} {
			for _, workers := range workerCounts(n, true) {
				for _, impl := range []string{"objseal", "sio", "copy"} {
					if workers > 1 && !peers.FileWorkers(impl) {
						continue
					}
					b.Run(fmt.Sprintf("op=%s/size=%v/workers=%d/impl=%s", op, n, workers, impl), func(b *testing.B) {
						dir := b.TempDir()
						job := peers.FileJob{Impl: impl, Workers: workers, Key: &benchKey}
						src, dst := filepath.Join(dir, "plain"), filepath.Join(dir, "sealed")
						err := os.WriteFile(src, plaintext(n), 0o600)
						if op == "decrypt" {
							err = errors.Join(err, job.Run(dst, src))
							src, dst = dst, src
							job.Decrypt = true
						}
						if err = errors.Join(err, job.Run(dst, src)); err != nil { // an output to write over
							b.Fatal(err)
						}
						b.SetBytes(int64(n))
						for b.Loop() {
							if err := job.Run(dst, src); err != nil {
								b.Fatal(err)
							}
						}
					})
				}
			}
		}
	}
}
