package bench_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"

	"github.com/objseal/objseal/bench/formats"
	"github.com/objseal/objseal/bench/peers"
	"github.com/objseal/objseal/internal/aead"
)

// A size is a number of bytes of plaintext.
type size int

const (
	kiB size = 1 << 10
	miB size = 1 << 20
	giB size = 1 << 30
)

func (s size) String() string {
	switch {
	case s >= giB:
		return fmt.Sprintf("%dGiB", s/giB)
	case s >= miB:
		return fmt.Sprintf("%dMiB", s/miB)
	case s >= kiB:
		return fmt.Sprintf("%dKiB", s/kiB)
	}
	return fmt.Sprintf("%dB", int(s))
}

var (
	streamSizes  = []size{64, kiB, 4 * kiB, 64 * kiB, miB, 64 * miB, giB}
	packageSizes = streamSizes[:4]
)

// workerCounts returns how many workers a stream of n bytes is measured with:
// one core, two and all of them, where there is enough to share.
func workerCounts(n size, several bool) []int {
	counts := []int{1}
	if several && n >= miB {
		for _, w := range []int{2, runtime.GOMAXPROCS(0)} {
			if w > counts[len(counts)-1] && w <= runtime.GOMAXPROCS(0) {
				counts = append(counts, w)
			}
		}
	}
	return counts
}

// An input is what one measurement works on: plaintext, the stream of it, and
// room for either, everything of its exact length.
type input struct {
	plain, sealed []byte
	out           []byte // room for what comes out
	buf           []byte // for peers.Copy
}

// An operation is what a benchmark does with every implementation.
type operation struct {
	name   string
	sizes  []size
	opens  bool // it works on the stream, not on the plaintext
	whole  bool // into a buffer
	ranged bool // a part of the stream

	// of returns one run of the operation; nil if the implementation does not
	// have it.
	of func(c peers.Codec, in *input) once
}

// once is one run, which says how many bytes came out.
type once = func() (int, error)

var operations = []operation{
	{name: "EncryptReader", sizes: streamSizes, of: func(c peers.Codec, in *input) once { return drain(c.EncryptReader, in, in.plain) }},
	{name: "DecryptReader", sizes: streamSizes, opens: true, of: func(c peers.Codec, in *input) once { return drain(c.DecryptReader, in, in.sealed) }},
	{name: "EncryptWriter", sizes: streamSizes, of: func(c peers.Codec, in *input) once { return feed(c.EncryptWriter, in, in.plain) }},
	{name: "DecryptWriter", sizes: streamSizes, opens: true, of: func(c peers.Codec, in *input) once { return feed(c.DecryptWriter, in, in.sealed) }},
	{name: "Seal", sizes: streamSizes, whole: true, of: func(c peers.Codec, in *input) once { return whole(c.Seal, in, in.plain) }},
	{name: "Open", sizes: streamSizes, whole: true, opens: true, of: func(c peers.Codec, in *input) once { return whole(c.Open, in, in.sealed) }},
	{name: "RangeRead", sizes: streamSizes, opens: true, ranged: true, of: ranges},
}

func BenchmarkEncryptReader(b *testing.B) { run(b, "EncryptReader") }
func BenchmarkDecryptReader(b *testing.B) { run(b, "DecryptReader") }
func BenchmarkEncryptWriter(b *testing.B) { run(b, "EncryptWriter") }
func BenchmarkDecryptWriter(b *testing.B) { run(b, "DecryptWriter") }
func BenchmarkSeal(b *testing.B)          { run(b, "Seal") }
func BenchmarkOpen(b *testing.B)          { run(b, "Open") }
func BenchmarkRangeRead(b *testing.B)     { run(b, "RangeRead") }

// run measures an operation with every implementation, cipher and size. The
// implementation is the innermost level: what is compared runs one after the
// other.
func run(b *testing.B, name string) {
	o := operations[slices.IndexFunc(operations, func(o operation) bool { return o.name == name })]
	for c := range o.cases() {
		b.Run(c.String(), func(b *testing.B) {
			skipMissing(b, c.impl.Missing, c.cipher)
			defer peers.Without(c.impl.Off)()
			do, want, err := c.prepare(o)
			if err != nil {
				b.Fatal(err)
			}
			if n, err := do(); err != nil || n != want { // also warms up
				b.Fatalf("%d bytes came out, want %d; error %v", n, want, err)
			}
			b.SetBytes(int64(c.bytes()))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := do(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// A streamCase is one measurement of an operation.
type streamCase struct {
	cipher  aead.Cipher
	size    size
	workers int
	impl    peers.Stream
	ranged  bool
}

func (c streamCase) String() string {
	return fmt.Sprintf("cipher=%v/size=%v/workers=%d/impl=%s", c.cipher, c.size, c.workers, c.impl.Name)
}

// bytes is how many bytes of plaintext one run is for.
func (c streamCase) bytes() size {
	if c.ranged {
		return min(c.size, rangeSize)
	}
	return c.size
}

// codec returns the implementation of c under the key of all benchmarks.
func (c streamCase) codec() peers.Codec {
	workers := c.workers
	if workers == 1 {
		workers = 0 // 1 is for files: see stream.Options
	}
	return c.impl.New(c.cipher, &benchKey, workers)
}

var benchKey = [peers.KeySize]byte([]byte("a key for benchmarks, no secret."))

// streams are all implementations.
var streams = slices.Concat(peers.Streams, formats.Streams)

// cases are all measurements of o, missing kernels included.
func (o operation) cases() iter.Seq[streamCase] {
	return func(yield func(streamCase) bool) {
		for _, cipher := range aead.Ciphers {
			for _, n := range o.sizes {
				for _, workers := range workerCounts(n, true) {
					for _, impl := range streams {
						c := streamCase{cipher, n, workers, impl, o.ranged}
						if !slices.Contains(impl.Ciphers, cipher) || workers > 1 && !impl.Workers || o.of(c.codec(), &input{}) == nil {
							continue
						}
						if !yield(c) {
							return
						}
					}
				}
			}
		}
	}
}

// prepare returns one run of o, and how many bytes come out of it.
func (c streamCase) prepare(o operation) (do once, want int, err error) {
	codec := c.codec()
	in := &input{plain: plaintext(c.size), buf: make([]byte, peers.CopySize(int(c.size)))}
	if in.sealed, err = codec.SealAll(in.plain); err != nil {
		return nil, 0, err
	}
	want = int(c.bytes())
	if !o.opens {
		want = len(in.sealed)
	}
	if o.whole {
		in.out = make([]byte, 0, max(len(in.plain), len(in.sealed))) // as sio and objseal ask for
	}
	return o.of(codec, in), want, nil
}

// plaintext returns n bytes that look random.
func plaintext(n size) []byte {
	b := make([]byte, n)
	block := b[:min(n, miB)]
	rand.NewChaCha8(benchKey).Read(block)
	for done := len(block); done < len(b); {
		done += copy(b[done:], block)
	}
	return b
}

// source gives bytes as a request body does: Read and nothing else, so that no
// implementation gets at the whole of them.
type source struct{ bytes bytes.Reader }

func (s *source) Read(p []byte) (int, error) { return s.bytes.Read(p) }

// sink counts what it is given: Write and nothing else.
type sink int

func (s *sink) Write(p []byte) (int, error) {
	*s += sink(len(p))
	return len(p), nil
}

// drain reads a reader to its end.
func drain(open func(io.Reader) (io.Reader, error), in *input, data []byte) once {
	if open == nil {
		return nil
	}
	src, dst := new(source), new(sink)
	return func() (int, error) {
		src.bytes.Reset(data)
		*dst = 0
		r, err := open(src)
		if err != nil {
			return 0, err
		}
		err = peers.Copy(dst, r, in.buf)
		return int(*dst), err
	}
}

// feed writes everything to a writer and closes it.
func feed(open func(io.Writer) (io.WriteCloser, error), in *input, data []byte) once {
	if open == nil {
		return nil
	}
	src, dst := new(source), new(sink)
	return func() (int, error) {
		src.bytes.Reset(data)
		*dst = 0
		w, err := open(dst)
		if err != nil {
			return 0, err
		}
		err = peers.Copy(w, src, in.buf)
		return int(*dst), errors.Join(err, w.Close())
	}
}

// whole takes a buffer to a buffer.
func whole(do func(dst, src []byte) ([]byte, error), in *input, data []byte) once {
	if do == nil {
		return nil
	}
	return func() (int, error) {
		out, err := do(in.out, data)
		return len(out), err
	}
}

// rangeSize is what RangeRead reads.
const rangeSize = 4 * kiB

// ranges reads a range at one of eight places that are spread over the object,
// another one each time, as a request does that comes in: with nothing kept
// from the one before. The places are few, so that their ciphertext stays in
// the cache, as it is after it was fetched.
func ranges(c peers.Codec, in *input) once {
	if c.ReadRange == nil {
		return nil
	}
	const places = 8
	p := make([]byte, min(len(in.plain), int(rangeSize)))
	src := bytes.NewReader(in.sealed)
	i := 0
	return func() (int, error) {
		off := (len(in.plain) - len(p)) / places * i
		i = (i + 1) % places
		err := c.ReadRange(p, int64(off), src, int64(len(in.sealed)), int64(len(in.plain)))
		return len(p), err
	}
}
