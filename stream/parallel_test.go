package stream_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"testing"

	"github.com/objseal/objseal/internal/aead/aeadtest"
	"github.com/objseal/objseal/stream"
)

// parallelSizes are around the packages and batches at which the workers meet.
var parallelSizes = []int{
	0, 1, 65536, 65537, 2*65536 + 1, 8 * 65536, 8*65536 + 1, 9 * 65536, 9*65536 + 1, 10 * 65536,
	17*65536 + 1, 25*65536 + 1000,
}

// aloneSizes are around the larger batches of a caller that works alone.
var aloneSizes = []int{33 * 65536, 33*65536 + 1, 65*65536 + 1}

// With any number of workers a stream is what it is without, in both directions and
// through every entry point.
func TestWorkers(t *testing.T) {
	defer stream.ParallelFrom(1)()
	defer stream.FixNonce([12]byte{1, 2, 3})()
	for _, c := range ciphers {
		for i, size := range slices.Concat(parallelSizes, aloneSizes) {
			plain := plaintext(size)
			sealed := seal(t, plain, &stream.Options{Cipher: c})
			counts := map[int][]int{1: {1 << 20}, 2: {30000, 1 << 20}, 8: {1 << 20}}
			if i >= len(parallelSizes) {
				counts = map[int][]int{1: {1 << 20}}
			}
			for workers, steps := range counts {
				o := &stream.Options{Cipher: c, Workers: workers, AllowEmpty: true}
				for _, step := range steps {
					for _, e := range encrypters {
						got, err := e.run(testKey, plain, o, step)
						if err != nil {
							t.Fatalf("%v, size=%d, workers=%d: %s: %v", c, size, workers, e.name, err)
						}
						equal(t, fmt.Sprintf("%v, size=%d, workers=%d: %s", c, size, workers, e.name), got, sealed)
					}
					for _, d := range decrypters {
						got, err := d.run(testKey, sealed, o, step)
						if err != nil {
							t.Fatalf("%v, size=%d, workers=%d: %s: %v", c, size, workers, d.name, err)
						}
						equal(t, fmt.Sprintf("%v, size=%d, workers=%d: %s", c, size, workers, d.name), got, plain)
					}
				}
			}
		}
	}
}

// What is wrong with a stream is the same for any number of workers: its first bad
// package, with number and offset, behind the same plaintext.
func TestWorkersErrors(t *testing.T) {
	defer stream.ParallelFrom(1)()
	plain := plaintext(30*65536 + 1000)
	sealed := seal(t, plain, nil)
	final := seal(t, plain[:65536], nil)
	bad := map[string][]byte{
		"cut at a package": sealed[:20*65568],
		"cut inside":       sealed[:20*65568+100],
		"continued":        append(bytes.Clone(sealed), 0),
		"final in between": concat(sealed[:12*65568], final, sealed[13*65568:]),
		"another version":  concat(sealed[:12*65568], []byte{0x10}, sealed[12*65568+1:]),
	}
	for _, k := range []int{1, 8, 9, 24, 30} {
		b := bytes.Clone(sealed)
		b[k*65568+20] ^= 1
		bad[fmt.Sprintf("package %d", k)] = b
		for _, later := range []int{k + 1, k + 9} { // and others, which may be met first
			if b := bytes.Clone(b); later <= 30 {
				b[later*65568+20] ^= 1
				bad[fmt.Sprintf("packages %d and %d", k, later)] = b
			}
		}
	}
	for name, in := range bad {
		for _, d := range decrypters {
			want, wantErr := d.run(testKey, in, nil, 1<<20)
			if wantErr == nil {
				t.Fatalf("%s: %s accepts it", name, d.name)
			}
			for _, workers := range []int{1, 3} {
				got, err := d.run(testKey, in, &stream.Options{Workers: workers}, 1<<20)
				if err == nil || err.Error() != wantErr.Error() {
					t.Errorf("%s, %d workers: %s: %v, want %v", name, workers, d.name, err, wantErr)
				}
				equal(t, fmt.Sprintf("%s, %d workers: %s", name, workers, d.name), got, want)
			}
		}
	}
}

// failingWriter fails after n bytes, and works again later.
type failingWriter struct {
	bytes.Buffer
	n int
}

func (w *failingWriter) Write(p []byte) (int, error) {
	if len(p) > w.n {
		n, _ := w.Buffer.Write(p[:w.n])
		w.n = 1 << 30
		return n, errIO
	}
	w.n -= len(p)
	return w.Buffer.Write(p)
}

// After a failure of the destination WriteTo goes on where it stopped, by whatever means.
func TestWorkersFailingDestination(t *testing.T) {
	defer stream.ParallelFrom(1)()
	defer stream.FixNonce([12]byte{1, 2, 3})()
	plain := plaintext(30*65536 + 1000)
	sealed := seal(t, plain, nil)
	o := &stream.Options{Workers: 3}
	for i, after := range []int{0, 65568, 3*65568 + 7, 9*65568 - 1, 20 * 65568, len(plain) - 1} {
		o.Workers = []int{3, 1}[i%2]
		for _, how := range []string{"WriteTo", "Read"} {
			for name, r := range map[string]io.Reader{
				"EncryptReader": must(stream.NewEncryptReader(testKey, bytes.NewReader(plain), o)),
				"DecryptReader": must(stream.NewDecryptReader(testKey, bytes.NewReader(sealed), o)),
			} {
				want := sealed
				if name == "DecryptReader" {
					want = plain
				}
				w := &failingWriter{n: after}
				n, err := r.(io.WriterTo).WriteTo(w)
				if err != errIO || n != int64(after) || w.Len() != after {
					t.Fatalf("%s, failing after %d: %d, %v, %d bytes written", name, after, n, err, w.Len())
				}
				if how == "WriteTo" {
					_, err = r.(io.WriterTo).WriteTo(w)
				} else {
					_, err = io.Copy(&w.Buffer, hide{Reader: r})
				}
				if err != nil {
					t.Fatalf("%s, failing after %d, then %s: %v", name, after, how, err)
				}
				equal(t, fmt.Sprintf("%s, failing after %d, then %s", name, after, how), w.Bytes(), want)
			}
		}
		ew := must(stream.NewEncryptWriter(testKey, &failingWriter{n: after}, o))
		dw := must(stream.NewDecryptWriter(testKey, &failingWriter{n: after}, o))
		for name, w := range map[string]io.WriteCloser{"EncryptWriter": ew, "DecryptWriter": dw} {
			in := plain
			if name == "DecryptWriter" {
				in = sealed
			}
			_, err := w.(io.ReaderFrom).ReadFrom(bytes.NewReader(in))
			if err == nil { // what it holds back until Close did not fit
				err = w.Close()
			}
			if _, again := w.(io.ReaderFrom).ReadFrom(bytes.NewReader(in)); err != errIO || again == nil {
				t.Errorf("%s, failing after %d: %v, then %v", name, after, err, again)
			}
		}
	}
}

// A source that fails interrupts its package and no other.
func TestWorkersFailingSource(t *testing.T) {
	defer stream.ParallelFrom(1)()
	plain := plaintext(30 * 65536)
	sealed := seal(t, plain, nil)
	for _, at := range []int{1, 65536, 65537, 10*65536 + 1, 20 * 65536} {
		run := func(o *stream.Options) (out [2][]byte, errs [4]error) {
			var enc, dec bytes.Buffer
			_, errs[0] = must(stream.NewEncryptReader(testKey, &dataErrReader{plain[:at], errIO}, o)).WriteTo(&enc)
			_, errs[1] = must(stream.NewDecryptReader(testKey, &dataErrReader{sealed[:at], errIO}, o)).WriteTo(&dec)
			out = [2][]byte{enc.Bytes(), dec.Bytes()}
			_, errs[2] = must(stream.NewEncryptWriter(testKey, io.Discard, o)).ReadFrom(&dataErrReader{plain[:at], errIO})
			_, errs[3] = must(stream.NewDecryptWriter(testKey, io.Discard, o)).ReadFrom(&dataErrReader{sealed[:at], errIO})
			return out, errs
		}
		restore := stream.FixNonce([12]byte{9})
		want, _ := run(nil)
		got, errs := run(&stream.Options{Workers: 4})
		restore()
		for i, err := range errs {
			if err != errIO {
				t.Errorf("at %d, entry point %d: %v", at, i, err)
			}
		}
		equal(t, fmt.Sprintf("EncryptReader, failing at %d", at), got[0], want[0])
		equal(t, fmt.Sprintf("DecryptReader, failing at %d", at), got[1], want[1])
	}
}

// The hard stop at 2^32 packages is where it is without workers.
func TestWorkersTooManyPackages(t *testing.T) {
	defer stream.ParallelFrom(1)()
	defer stream.FixNonce([12]byte{1})()
	plain := plaintext(20 * 65536)
	for _, left := range []uint32{1, 2, 9, 19, 20, 21} {
		for _, e := range encrypters {
			want, wantErr := e.run(testKey, plain, &stream.Options{Sequence: -left}, 1<<20)
			got, err := e.run(testKey, plain, &stream.Options{Sequence: -left, Workers: 3}, 1<<20)
			if fmt.Sprint(err) != fmt.Sprint(wantErr) || left < 20 != errors.Is(err, stream.ErrTooLarge) {
				t.Errorf("%d packages left: %s: %v, want %v", left, e.name, err, wantErr)
			}
			equal(t, fmt.Sprintf("%d packages left: %s", left, e.name), got, want)
		}
	}
}

// panicReader panics after n bytes.
type panicReader struct{ n int }

func (r *panicReader) Read(p []byte) (int, error) {
	if r.n <= 0 {
		panic("the source")
	}
	r.n -= len(p)
	return len(p), nil
}

// A panic of source or destination arrives at the caller, and no worker is left.
func TestWorkersPanic(t *testing.T) {
	defer stream.ParallelFrom(1)()
	o := &stream.Options{Workers: 4}
	before := runtime.NumGoroutine()
	for name, f := range map[string]func(){
		"source": func() {
			must(stream.NewEncryptReader(testKey, &panicReader{50 * 65536}, o)).WriteTo(io.Discard)
		},
		"destination": func() {
			n := 0
			must(stream.NewEncryptReader(testKey, endless{}, o)).WriteTo(writerFunc(func(p []byte) (int, error) {
				if n += len(p); n > 50*65536 {
					panic("the destination")
				}
				return len(p), nil
			}))
		},
	} {
		func() {
			defer func() {
				if v := recover(); v != "the "+name {
					t.Errorf("%s: recovered %v", name, v)
				}
			}()
			f()
		}()
	}
	if after := runtime.NumGoroutine(); after > before {
		t.Errorf("%d goroutines are left", after-before)
	}
}

// A stream that a panic has interrupted is not whole, and none of its later calls says
// that it is.
func TestWorkersPanicStays(t *testing.T) {
	defer stream.ParallelFrom(1)()
	plain := plaintext(60 * 65536)
	sealed := seal(t, plain, nil)
	for _, workers := range []int{1, 3} {
		o := &stream.Options{Workers: workers}
		calls := 0
		once := writerFunc(func(p []byte) (int, error) {
			if calls++; calls == 3 {
				panic("once")
			}
			return len(p), nil
		})
		er := must(stream.NewEncryptReader(testKey, bytes.NewReader(plain), o))
		dr := must(stream.NewDecryptReader(testKey, bytes.NewReader(sealed), o))
		ew := must(stream.NewEncryptWriter(testKey, once, o))
		dw := must(stream.NewDecryptWriter(testKey, once, o))
		for name, run := range map[string]func() error{
			"EncryptReader": func() error { _, err := er.WriteTo(once); return err },
			"DecryptReader": func() error { _, err := dr.WriteTo(once); return err },
			"EncryptWriter": func() error { _, err := ew.ReadFrom(bytes.NewReader(plain)); return err },
			"DecryptWriter": func() error { _, err := dw.ReadFrom(bytes.NewReader(sealed)); return err },
		} {
			calls = 0
			func() {
				defer func() {
					if v := recover(); v != "once" {
						t.Errorf("%d workers: %s: recovered %v", workers, name, v)
					}
				}()
				run()
			}()
			if err := run(); err == nil || calls != 3 {
				t.Errorf("%d workers: %s goes on behind a panic: %v", workers, name, err)
			}
		}
		if ew.Close() == nil || dw.Close() == nil {
			t.Errorf("%d workers: Close says that an interrupted stream is whole", workers)
		}
	}
}

// runtime.Goexit on any of the workers, such as t.FailNow in a destination, ends the
// caller too: it does not return as if all were written.
func TestWorkersGoexit(t *testing.T) {
	defer stream.ParallelFrom(1)()
	sealed := seal(t, plaintext(100*65536), nil)
	for last := range 12 {
		r := must(stream.NewDecryptReader(testKey, bytes.NewReader(sealed), &stream.Options{Workers: 3}))
		calls, returned, ended := 0, false, make(chan bool)
		go func() {
			defer close(ended)
			r.WriteTo(writerFunc(func(p []byte) (int, error) {
				if calls++; calls == last+1 {
					runtime.Goexit()
				}
				return len(p), nil
			}))
			returned = true
		}()
		if <-ended; returned {
			t.Errorf("WriteTo returned, though write %d did not", last)
		}
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// Ranges of an object go through the workers too, and end where they should.
func TestWorkersRange(t *testing.T) {
	defer stream.ParallelFrom(1)()
	plain := plaintext(40*65536 + 1000)
	sealed := seal(t, plain, nil)
	for _, rng := range [][2]int{{0, len(plain)}, {0, 30 * 65536}, {100, 30 * 65536}, {65536, 20*65536 + 1}, {65535, 33*65536 + 5}, {3 * 65536, len(plain) - 3*65536}} {
		r := must(stream.PackageRange(int64(len(plain)), int64(rng[0]), int64(rng[1])))
		src := bytes.NewReader(sealed[r.Offset : r.Offset+r.Length])
		var out bytes.Buffer
		dr := must(stream.NewRangeReader(testKey, src, r, &stream.Options{Workers: 3}))
		if n, err := dr.WriteTo(&out); err != nil || n != int64(rng[1]) {
			t.Errorf("%v: %d, %v", rng, n, err)
		}
		equal(t, fmt.Sprint(rng), out.Bytes(), plain[rng[0]:rng[0]+rng[1]])
	}
}

// With a kernel of ours, whole buffers need no memory at all.
func TestAllocationsWhole(t *testing.T) {
	if aeadtest.Race {
		t.Skip("with the race detector sync.Pool forgets on purpose, and a nonce escapes")
	}
	for _, c := range ciphers {
		if !stream.HasKernel(c) {
			t.Logf("not run: %v has no kernel of ours here", c)
			continue
		}
		for _, size := range []int{1, 1000, 65536, 200000} {
			o := &stream.Options{Cipher: c}
			plain := plaintext(size)
			sealed := seal(t, plain, o)
			dst := make([]byte, len(sealed))
			for name, f := range map[string]func(){
				"Seal": func() { must(stream.Seal(dst[:0], testKey, plain, o)) },
				"Open": func() { must(stream.Open(dst[:0], testKey, sealed, nil)) },
			} {
				if n := testing.AllocsPerRun(100, f); n >= 1 && !aeadtest.Race { // which has pools forget things
					t.Errorf("%v: %s of %d bytes: %v allocations", c, name, size, n)
				}
			}
		}
	}
}
