package bench_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"

	"github.com/objseal/objseal/bench/objects"
	"github.com/objseal/objseal/bench/peers"
	"github.com/objseal/objseal/internal/aead"
	"github.com/objseal/objseal/internal/cpu"
)

// The tests hold that the benchmarks measure what they say: every implementation
// opens what it has sealed, those of one format open each other's, and the names
// are as other programs expect them.

// TestMain lets the heap grow: the system gives its first megabytes page by page, and
// who is measured first would pay for that.
func TestMain(m *testing.M) {
	for range 64 << 10 {
		grown = make([]*byte, 64)
	}
	grown = nil
	os.Exit(m.Run())
}

var grown []*byte

var testSizes = []size{1, 64, kiB, 64 * kiB, 64*kiB + 1, 200 * kiB}

// sealers and openers are the ways into a stream and out of it.
func sealers(c peers.Codec) map[string]func(plain []byte) ([]byte, error) {
	return present(map[string]func([]byte) ([]byte, error){
		"Seal":          toBuffer(c.Seal),
		"EncryptReader": throughReader(c.EncryptReader),
		"EncryptWriter": throughWriter(c.EncryptWriter),
	})
}

func openers(c peers.Codec) map[string]func(sealed []byte) ([]byte, error) {
	return present(map[string]func([]byte) ([]byte, error){
		"Open":          toBuffer(c.Open),
		"DecryptReader": throughReader(c.DecryptReader),
		"DecryptWriter": throughWriter(c.DecryptWriter),
	})
}

func present(m map[string]func([]byte) ([]byte, error)) map[string]func([]byte) ([]byte, error) {
	for name, f := range m {
		if f == nil {
			delete(m, name)
		}
	}
	return m
}

func toBuffer(do func(dst, src []byte) ([]byte, error)) func([]byte) ([]byte, error) {
	if do == nil {
		return nil
	}
	return func(in []byte) ([]byte, error) { return do(make([]byte, 0, len(in)+len(in)/100+1024), in) }
}

func throughReader(open func(io.Reader) (io.Reader, error)) func([]byte) ([]byte, error) {
	if open == nil {
		return nil
	}
	return func(in []byte) ([]byte, error) {
		r, err := open(bytes.NewReader(in))
		if err != nil {
			return nil, err
		}
		return io.ReadAll(r)
	}
}

func throughWriter(open func(io.Writer) (io.WriteCloser, error)) func([]byte) ([]byte, error) {
	if open == nil {
		return nil
	}
	return func(in []byte) ([]byte, error) {
		var out peers.Buffer
		w, err := open(&out)
		if err != nil {
			return nil, err
		}
		_, err = w.Write(in)
		return out.B, errors.Join(err, w.Close())
	}
}

// family says which implementations have one format.
func family(impl string) string {
	switch impl {
	case "tink", "age", "cipher", "memcpy":
		return impl
	}
	return "DARE"
}

func TestStreamsOpenEachOther(t *testing.T) {
	for _, cipher := range aead.Ciphers {
		for _, n := range testSizes {
			plain := plaintext(n)
			for _, from := range streams {
				if !slices.Contains(from.Ciphers, cipher) || from.Missing != nil && from.Missing(cipher) != "" {
					continue
				}
				restore := peers.Without(from.Off)
				sealed := make(map[string][]byte)
				for way, seal := range sealers(from.New(cipher, &benchKey, 1)) {
					out, err := seal(plain)
					if err != nil {
						t.Fatalf("%s, %v, %v: %s: %v", from.Name, cipher, n, way, err)
					}
					sealed[way] = out
				}
				restore()
				opened := 0
				for _, to := range streams {
					if !slices.Contains(to.Ciphers, cipher) || family(to.Name) != family(from.Name) {
						continue
					}
					c := to.New(cipher, &benchKey, 1)
					for in, data := range sealed {
						what := fmt.Sprintf("%s by %s, %v, %v: opened by %s", from.Name, in, cipher, n, to.Name)
						for way, open := range openers(c) {
							if got, err := open(data); err != nil || !bytes.Equal(got, plain) {
								t.Errorf("%s, %s: not the plaintext, error %v", what, way, err)
							}
							opened++
						}
						if c.ReadRange != nil {
							testRanges(t, what, c, data, plain)
							opened++
						}
					}
				}
				if len(sealed) > 0 && opened == 0 {
					t.Errorf("%s: nothing opens it", from.Name)
				}
			}
		}
	}
}

func testRanges(t *testing.T, what string, c peers.Codec, sealed, plain []byte) {
	t.Helper()
	p := make([]byte, min(len(plain), 1000))
	for _, off := range []int{0, (len(plain) - len(p)) / 2, len(plain) - len(p)} {
		err := c.ReadRange(p, int64(off), bytes.NewReader(sealed), int64(len(sealed)), int64(len(plain)))
		if err != nil || !bytes.Equal(p, plain[off:off+len(p)]) {
			t.Errorf("%s: range from %d: not the plaintext, error %v", what, off, err)
		}
	}
}

// Every operation does what its name says with every implementation.
func TestOperations(t *testing.T) {
	for _, o := range operations {
		impls := make(map[string]bool)
		for c := range o.cases() {
			impls[c.impl.Name] = true
			if c.size > 64*kiB || c.impl.Missing != nil && c.impl.Missing(c.cipher) != "" {
				continue
			}
			do, want, err := c.prepare(o)
			if err != nil {
				t.Fatalf("%s/%v: %v", o.name, c, err)
			}
			for range 10 {
				if n, err := do(); n != want || err != nil {
					t.Fatalf("%s/%v: %d bytes, want %d; error %v", o.name, c, n, want, err)
				}
			}
		}
		for _, name := range []string{"objseal", "sio", "memcpy"} {
			if !impls[name] {
				t.Errorf("%s is not measured with %s", o.name, name)
			}
		}
	}
}

func TestAEADsOpenEachOther(t *testing.T) {
	for c := range aeadCases() {
		if c.impl.Missing != nil && c.impl.Missing(c.cipher) != "" {
			t.Logf("%v: not run: %s", c, c.impl.Missing(c.cipher))
			continue
		}
		from := c.impl.New(c.cipher, &benchKey)
		plain := plaintext(c.size)
		sealed := make([]byte, len(plain)+from.Tag)
		from.Seal(sealed, plain)
		for _, impl := range peers.AEADs {
			if !slices.Contains(impl.Ciphers, c.cipher) || impl.Missing != nil && impl.Missing(c.cipher) != "" {
				continue
			}
			to := impl.New(c.cipher, &benchKey)
			if to.Tag != from.Tag { // the copy
				continue
			}
			out := make([]byte, len(plain))
			if !to.Open(out, sealed) || !bytes.Equal(out, plain) {
				t.Errorf("%v: %s does not open it", c, impl.Name)
			}
			if from.Tag == 0 {
				continue
			}
			sealed[0] ^= 1
			if to.Open(out, sealed) {
				t.Errorf("%v: %s opens a forgery", c, impl.Name)
			}
			sealed[0] ^= 1
		}
		for opens, do := range map[bool]func() bool{false: c.prepare(false), true: c.prepare(true)} {
			if !do() {
				t.Errorf("%v: opens %v: failed", c, opens)
			}
		}
	}
}

// An object written with sio and the standard library is the same work: sse opens
// it, and it opens what sse makes.
func TestObjectsOpenEachOther(t *testing.T) {
	for _, etag := range etags {
		for _, n := range testSizes {
			for _, from := range objects.Implementations {
				for _, to := range objects.Implementations {
					if from.Name == "objseal" && to.Name == "sio" && !cpu.Has(cpu.AES) {
						continue // sealed keys are under ChaCha20-Poly1305 then, and sio was told AES-256-GCM
					}
					o := newObject(from, etag, n)
					if err := o.seal(); err != nil {
						t.Fatalf("%s, etag=%s, %v: %v", from.Name, etag, n, err)
					}
					o.codec = to.New(&benchKey)
					if err := o.open(); err != nil || !bytes.Equal(o.out.B, o.plain) {
						t.Errorf("%s, etag=%s, %v: opened by %s: not the plaintext, error %v", from.Name, etag, n, to.Name, err)
					}
					if len(o.metadata) != 6 {
						t.Errorf("%s: metadata of %d entries, want 6", from.Name, len(o.metadata))
					}
					o.object.Name += "2"
					if o.open() == nil {
						t.Errorf("%s: %s opens it under another name", from.Name, to.Name)
					}
				}
			}
		}
	}
}

func TestHeapPerStream(t *testing.T) {
	for _, d := range directions {
		for _, impl := range contenders() {
			held, err := heapPerStream(impl, aead.AES256GCM, 4*kiB, d, 20)
			if err != nil || held < 100 || held > 1<<20 {
				t.Errorf("%s, %s: %.0f bytes a stream, error %v", d.name, impl.Name, held, err)
			}
		}
	}
}

func TestFileJobs(t *testing.T) {
	dir := t.TempDir()
	plain := plaintext(300 * kiB)
	src, sealed, opened := filepath.Join(dir, "plain"), filepath.Join(dir, "sealed"), filepath.Join(dir, "opened")
	if err := os.WriteFile(src, plain, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, out := range []string{sealed, opened} { // to be written over, and longer
		if err := os.WriteFile(out, plaintext(2*miB), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	check := func(what, name string) {
		t.Helper()
		if got, err := os.ReadFile(name); err != nil || !bytes.Equal(got, plain) {
			t.Errorf("%s: not the plaintext, error %v", what, err)
		}
	}
	for _, from := range []string{"objseal", "sio"} {
		if err := (peers.FileJob{Impl: from, Workers: 1, Key: &benchKey}).Run(sealed, src); err != nil {
			t.Fatal(err)
		}
		for _, to := range []string{"objseal", "objseal-generic", "sio"} {
			if err := (peers.FileJob{Impl: to, Workers: 1, Decrypt: true, Key: &benchKey}).Run(opened, sealed); err != nil {
				t.Fatal(err)
			}
			check(from+", "+to, opened)
		}
	}
	for workers := 1; workers < 4; workers++ {
		if err := (peers.FileJob{Impl: "copy", Workers: workers, Key: &benchKey}).Run(opened, src); err != nil {
			t.Fatal(err)
		}
		check(fmt.Sprintf("copy of %d workers", workers), opened)
	}
	if (peers.FileJob{Impl: "nobody", Workers: 1, Key: &benchKey}).Run(opened, src) == nil {
		t.Error("an unknown implementation is accepted")
	}
}

// The names are an interface: other programs compare by them.
func TestNames(t *testing.T) {
	names := make(map[string]bool)
	add := func(name string) {
		if names[name] {
			t.Errorf("%s twice", name)
		}
		names[name] = true
	}
	for _, o := range operations {
		for c := range o.cases() {
			add("Benchmark" + o.name + "/" + c.String())
		}
	}
	for c := range aeadCases() {
		add("BenchmarkAEADSeal/" + c.String())
		add("BenchmarkAEADOpen/" + c.String())
	}
	valid := regexp.MustCompile(`^Benchmark[A-Za-z]+/cipher=(AES-256-GCM|ChaCha20-Poly1305)/size=(64B|1KiB|4KiB|64KiB|1MiB|64MiB|1GiB)/workers=[0-9]+/impl=[a-z][a-z0-9-]*[a-z][a-z0-9]*$`)
	for _, name := range []string{
		"BenchmarkSeal/cipher=AES-256-GCM/size=1MiB/workers=1/impl=sio-reader",       // opens only
		"BenchmarkEncryptReader/cipher=AES-256-GCM/size=1KiB/workers=2/impl=objseal", // nothing to share
		"BenchmarkAEADSeal/cipher=ChaCha20-Poly1305/size=64KiB/workers=1/impl=objseal-avx2",
	} {
		if names[name] {
			t.Errorf("%s makes no sense", name)
		}
	}
	for name := range names {
		if !valid.MatchString(name) {
			t.Errorf("%s is not of the form of a name", name)
		}
	}
	for _, name := range []string{
		"BenchmarkEncryptReader/cipher=AES-256-GCM/size=64MiB/workers=1/impl=objseal",
		"BenchmarkEncryptReader/cipher=AES-256-GCM/size=1GiB/workers=1/impl=objseal-generic",
		"BenchmarkEncryptReader/cipher=ChaCha20-Poly1305/size=1KiB/workers=1/impl=age",
		"BenchmarkDecryptReader/cipher=AES-256-GCM/size=1KiB/workers=1/impl=tink",
		"BenchmarkEncryptWriter/cipher=AES-256-GCM/size=1MiB/workers=1/impl=sio",
		"BenchmarkDecryptWriter/cipher=AES-256-GCM/size=64KiB/workers=1/impl=memcpy",
		"BenchmarkRangeRead/cipher=AES-256-GCM/size=1GiB/workers=1/impl=objseal-readerat",
		"BenchmarkRangeRead/cipher=AES-256-GCM/size=1GiB/workers=1/impl=sio",
		"BenchmarkSeal/cipher=AES-256-GCM/size=1MiB/workers=1/impl=objseal-avx2",
		"BenchmarkOpen/cipher=AES-256-GCM/size=64KiB/workers=1/impl=cipher",
		"BenchmarkAEADSeal/cipher=AES-256-GCM/size=64KiB/workers=1/impl=objseal-fused",
		"BenchmarkAEADOpen/cipher=ChaCha20-Poly1305/size=64B/workers=1/impl=cipher",
	} {
		if !names[name] {
			t.Errorf("%s is missing", name)
		}
	}
	t.Logf("%d names", len(names))
}
