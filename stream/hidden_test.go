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

// A panic of the destination, while several goroutines work, leaves a stream that has
// failed; that gives back what it had like any other.
func TestStatesBehindPanics(t *testing.T) {
	defer stream.ParallelFrom(2)()
	o := &stream.Options{Workers: 2}
	plain := plaintext(40 * stream.PayloadSize)
	sealed := seal(t, plain, nil)
	for range 5 { // the race detector has pools forget things
		stream.TakeStates()
		for name, r := range map[string]interface {
			io.Reader
			io.WriterTo
		}{
			"EncryptReader": must(stream.NewEncryptReader(testKey, bytes.NewReader(plain), o)),
			"DecryptReader": must(stream.NewDecryptReader(testKey, bytes.NewReader(sealed), o)),
		} {
			func() {
				defer func() {
					if recover() == nil {
						t.Errorf("%s: the panic of the destination is gone", name)
					}
				}()
				r.WriteTo(&panicky{after: 4})
			}()
			if _, err := r.Read(make([]byte, 1)); err == nil {
				t.Errorf("%s: it goes on behind a panic", name)
			}
		}
		for name, empty := range stream.TakeStates() {
			if !empty {
				t.Errorf("%s: the state is not empty behind a panic", name)
			}
		}
	}
}
