package aead_test

import (
	"encoding/hex"
	"encoding/json"
	"os"
	"testing"

	"github.com/objseal/objseal/internal/aead"
	"github.com/objseal/objseal/internal/aead/aeadtest"
)

// text is binary data in hexadecimal.
type text []byte

func (b *text) UnmarshalText(s []byte) (err error) {
	*b, err = hex.DecodeString(string(s))
	return err
}

func TestVectors(t *testing.T) {
	var file []struct {
		Source, Cipher                                     string
		Key, Nonce, Plaintext, Associated, Ciphertext, Tag text
	}
	b, err := os.ReadFile("testdata/vectors.json")
	if err == nil {
		err = json.Unmarshal(b, &file)
	}
	if err != nil {
		t.Fatal(err)
	}
	aeadtest.Kernels(t, func(t *testing.T, c aead.Cipher, k aead.Kernel) (cases int) {
		for _, v := range file {
			if v.Cipher == c.String() {
				cases++
				aeadtest.Vector{
					Name: v.Source, Key: v.Key, Nonce: v.Nonce, Plaintext: v.Plaintext, Associated: v.Associated,
					Ciphertext: v.Ciphertext, Tag: v.Tag, Valid: true,
				}.Test(t, aeadtest.Kernel(c, k))
			}
		}
		if cases == 0 {
			t.Error("no vector")
		}
		return cases
	})
}
