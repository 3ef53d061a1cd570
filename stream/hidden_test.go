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
