package gocloud_test

import (
	"bytes"
	"encoding/base64"
	"os"
	"testing"

	"github.com/objseal/objseal/kms"
)

// What testdata/vector.txt was sealed under.
const (
	vectorKeyID = "key-1"
	vectorURL   = "base64key://smGbjm71Nxd1Ig5FS0wj9SlbzAIrnolCz9bQQ6uAhl4="
)

func vectorField(t testing.TB, i int) []byte {
	t.Helper()
	text, err := os.ReadFile("testdata/vector.txt")
	if err != nil {
		t.Fatal(err)
	}
	b, err := base64.StdEncoding.DecodeString(string(bytes.Fields(text)[i]))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func vectorCiphertext(t testing.TB) []byte { return vectorField(t, 0) }

func vectorKey(t testing.TB) kms.DataKey {
	k, err := kms.NewDataKey(vectorField(t, 1))
	if err != nil {
		t.Fatal(err)
	}
	return k
}
