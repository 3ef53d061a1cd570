package stream_test

import (
	"bytes"
	"io"
	"testing"

	"github.com/objseal/objseal/stream"
)

// Memory of keys is used by the next stream as soon as one has ended. A copy of the ended
// one must not seal or open with what is there then, nor give it back once more.
func TestCopyOfAnEndedStream(t *testing.T) {
	plain := plaintext(100)
	sealed := seal(t, plain, nil)
	other := bytes.Repeat([]byte{7}, stream.KeySize)

	er := must(stream.NewEncryptReader(testKey, bytes.NewReader(plain), nil))
	dr := must(stream.NewDecryptReader(testKey, bytes.NewReader(sealed), nil))
	ew := must(stream.NewEncryptWriter(testKey, io.Discard, nil))
	dw := must(stream.NewDecryptWriter(testKey, io.Discard, nil))
	er2, dr2, ew2, dw2, ew3, dw3 := *er, *dr, *ew, *dw, *ew, *dw
	io.Copy(io.Discard, er)
	io.Copy(io.Discard, dr)
	ew.Close()
	dw.Close()
	// These take it.
	must(stream.NewEncryptWriter(other, io.Discard, nil))
	must(stream.NewDecryptWriter(other, io.Discard, nil))
	for name, use := range map[string]func(){
		"EncryptReader":           func() { io.ReadAll(&er2) },
		"DecryptReader":           func() { io.ReadAll(&dr2) },
		"EncryptWriter":           func() { ew2.Write(plaintext(100000)) },
		"EncryptWriter, at Close": func() { ew3.Close() },
		"DecryptWriter":           func() { dw2.Write(sealed) },
		"DecryptWriter, at Close": func() { dw3.Close() },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: a copy goes on with a key that was given back", name)
				}
			}()
			use()
		}()
	}
}

// The same for what the package itself copies, though the memory was kept.
func TestCopyOfAnEndedKey(t *testing.T) {
	for name, use := range stream.UseCopies(testKey, seal(t, plaintext(100), nil)) {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: a copy goes on with a key that was wiped", name)
				}
			}()
			use()
		}()
	}
}

// What a stream needed is not kept behind its end: not its source or destination, which
// may be large, and no plaintext.
func TestPooledStatesAreEmpty(t *testing.T) {
	plain := plaintext(stream.PayloadSize + 100)
	sealed := seal(t, plain, nil)
	damaged := bytes.Clone(sealed)
	damaged[len(damaged)-1] ^= 1
	for range 5 { // the race detector has pools forget things
		stream.TakeStates()
		io.Copy(io.Discard, must(stream.NewEncryptReader(testKey, bytes.NewReader(plain), nil)))
		ew := must(stream.NewEncryptWriter(testKey, io.Discard, nil))
		must(ew.ReadFrom(bytes.NewReader(plain)))
		ew.Close()
		for _, in := range [][]byte{sealed, damaged} {
			io.Copy(io.Discard, must(stream.NewDecryptReader(testKey, bytes.NewReader(in), nil)))
			dw := must(stream.NewDecryptWriter(testKey, io.Discard, nil))
			dw.ReadFrom(bytes.NewReader(in))
			dw.Close()
			for name, empty := range stream.TakeStates() {
				if !empty {
					t.Errorf("%s: the state of an ended stream is not empty", name)
				}
			}
		}
	}
}

// panicky panics at one of its Writes.
type panicky struct{ after, calls int }

func (p *panicky) Write(b []byte) (int, error) {
	if p.calls++; p.calls == p.after+1 {
		panic("destination")
	}
	return len(b), nil
}

// The final package was not written, and may not be for all that Close knows.
func TestPanicAtClose(t *testing.T) {
	w := must(stream.NewEncryptWriter(testKey, &panicky{}, nil))
	must(w.Write(plaintext(100)))
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic of the destination is gone")
			}
		}()
		w.Close()
	}()
	if err := w.Close(); err == nil {
		t.Error("a second Close says that the stream is whole")
	}
	if _, err := w.Write(plaintext(1)); err == nil {
		t.Error("it can be written to")
	}
}

// A writer may stay open for long after it has read a source, which may be large.
func TestReadFromKeepsNoSource(t *testing.T) {
	ew := must(stream.NewEncryptWriter(testKey, io.Discard, nil))
	must(ew.ReadFrom(bytes.NewReader(plaintext(100))))
	dw := must(stream.NewDecryptWriter(testKey, io.Discard, nil))
	must(dw.ReadFrom(bytes.NewReader(seal(t, plaintext(100), nil))))
	if ew.HoldsSource() || dw.HoldsSource() {
		t.Error("a writer holds what it has read")
	}
}

// A stream is dead once its source or destination has panicked: nobody knows what was read
// and written by then.
func TestPanicEndsStream(t *testing.T) {
	defer stream.ParallelFrom(2)()
	plain := plaintext(40 * stream.PayloadSize)
	sealed := seal(t, plain, nil)
	for _, workers := range []int{0, 1, 2} {
		o := &stream.Options{Workers: workers}
		dead := func(name string, call func() error, calls ...func() error) {
			t.Helper()
			func() {
				defer func() {
					if recover() == nil {
						t.Errorf("%d workers: %s: the panic is gone", workers, name)
					}
				}()
				call()
			}()
			for i, call := range calls {
				if err := call(); err == nil {
					t.Errorf("%d workers: %s goes on behind a panic, call %d", workers, name, i)
				}
			}
		}
		for name, r := range map[string]interface {
			io.Reader
			io.WriterTo
		}{
			"EncryptReader": must(stream.NewEncryptReader(testKey, bytes.NewReader(plain), o)),
			"DecryptReader": must(stream.NewDecryptReader(testKey, bytes.NewReader(sealed), o)),
		} {
			writeTo := func() error { _, err := r.WriteTo(&panicky{after: 1}); return err }
			dead(name, writeTo, writeTo, func() error { _, err := r.Read(make([]byte, 1)); return err })
		}
		for name, w := range map[string]interface {
			io.WriteCloser
			io.ReaderFrom
		}{
			"EncryptWriter": must(stream.NewEncryptWriter(testKey, io.Discard, o)),
			"DecryptWriter": must(stream.NewDecryptWriter(testKey, io.Discard, o)),
		} {
			in := plain
			if name == "DecryptWriter" {
				in = sealed
			}
			readFrom := func(r io.Reader) func() error {
				return func() error { _, err := w.ReadFrom(r); return err }
			}
			dead(name, readFrom(io.MultiReader(bytes.NewReader(in[:5*65568]), &panicReader{})), readFrom(bytes.NewReader(in)),
				func() error { _, err := w.Write(in[:1]); return err }, w.Close, w.Close)
		}
	}
}

// callback calls back from Read and Write.
type callback struct {
	io.Reader
	io.Writer
	call func()
}

func (c *callback) Read(p []byte) (int, error)  { c.call(); return c.Reader.Read(p) }
func (c *callback) Write(p []byte) (int, error) { c.call(); return c.Writer.Write(p) }

// A source or destination that calls the stream which is calling it gets an error, and the
// stream goes on as if it had not: its state is in use.
func TestCallsFromInside(t *testing.T) {
	defer stream.FixNonce([12]byte{1, 2, 3})()
	plain := plaintext(3*stream.PayloadSize + 100)
	sealed := seal(t, plain, nil)
	refused := func(name string, err error) {
		t.Helper()
		if err == nil || err == io.EOF {
			t.Errorf("%s, called from inside: %v", name, err)
		}
	}
	var out bytes.Buffer
	c := &callback{Writer: &out}
	for name, tt := range map[string]struct {
		in, want []byte
		begin    func() any
	}{
		"EncryptReader": {plain, sealed, func() any { return must(stream.NewEncryptReader(testKey, c, nil)) }},
		"DecryptReader": {sealed, plain, func() any { return must(stream.NewDecryptReader(testKey, c, nil)) }},
		"EncryptWriter": {plain, sealed, func() any { return must(stream.NewEncryptWriter(testKey, c, nil)) }},
		"DecryptWriter": {sealed, plain, func() any { return must(stream.NewDecryptWriter(testKey, c, nil)) }},
	} {
		for _, how := range []string{"copy", "step by step"} {
			out.Reset()
			c.Reader = bytes.NewReader(tt.in)
			s := tt.begin()
			calls := 0
			c.call = func() {
				calls++
				switch s := s.(type) {
				case io.ReadWriter:
					t.Fatal("internal error")
				case io.Reader:
					_, err := s.Read(make([]byte, 10))
					refused(name+".Read", err)
					n, err := s.(io.WriterTo).WriteTo(&out)
					if refused(name+".WriteTo", err); n > 0 {
						t.Errorf("%s.WriteTo, called from inside, writes %d bytes", name, n)
					}
				case io.WriteCloser:
					_, err := s.Write([]byte{1})
					refused(name+".Write", err)
					_, err = s.(io.ReaderFrom).ReadFrom(bytes.NewReader([]byte{1}))
					refused(name+".ReadFrom", err)
					refused(name+".Close", s.Close())
				}
			}
			var err error
			switch s := s.(type) {
			case io.Reader:
				if how == "copy" {
					_, err = s.(io.WriterTo).WriteTo(c)
				} else {
					_, err = io.CopyBuffer(hide{Writer: &out}, hide{Reader: s}, make([]byte, 1000))
				}
			case io.WriteCloser:
				if how == "copy" {
					_, err = s.(io.ReaderFrom).ReadFrom(c)
				} else {
					_, err = s.Write(tt.in)
				}
				if err == nil {
					err = s.Close()
				}
			}
			if err != nil || calls == 0 {
				t.Errorf("%s, %s: %v, %d calls", name, how, err, calls)
			}
			equal(t, name+", "+how, out.Bytes(), tt.want)
		}
	}
}

// The zero reader or writer has no stream.
func TestZeroValues(t *testing.T) {
	var er stream.EncryptReader
	var dr stream.DecryptReader
	var ew stream.EncryptWriter
	var dw stream.DecryptWriter
	_, err1 := er.Read(make([]byte, 1))
	_, err2 := dr.WriteTo(io.Discard)
	_, err3 := ew.Write([]byte{1})
	for i, err := range []error{err1, err2, err3, dw.Close()} {
		if err == nil || err == io.EOF {
			t.Errorf("call %d: %v", i, err)
		}
	}
}
