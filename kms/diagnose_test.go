package kms_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/objseal/objseal/kms"
	"github.com/objseal/objseal/kms/kmstest"
	"github.com/objseal/objseal/kms/static"
)

// wrapped is a backend around another one, as a cache is.
type wrapped struct{ kms.Backend }

func (w wrapped) Unwrap() kms.Backend { return w.Backend }

// sealedByOther returns a backend with the keys "key-1" and "key-2", and the
// case of a data key of the second that metadata says is of the first. What
// Diagnose finds over directories, with every kind of evidence, is in the tests
// of kms/keystore; with what requests, in those of sse.
func sealedByOther(t *testing.T) (kms.Backend, kms.Case) {
	var keys []static.Key
	for _, name := range []string{"key-1", "key-2"} {
		key, err := static.NewKey(name)
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, key)
	}
	b, err := static.New(keys, "")
	if err != nil {
		t.Fatal(err)
	}
	ad := kms.AssociatedData{"bucket": "bucket/object"}
	made, err := b.GenerateKey(t.Context(), "key-2", ad)
	if err != nil {
		t.Fatal(err)
	}
	return b, kms.Case{KeyID: "key-1", Ciphertext: made.Ciphertext, AssociatedData: ad}
}

func TestDiagnoseLooksThroughWrappers(t *testing.T) {
	b, k := sealedByOther(t)
	for what, backend := range map[string]kms.Backend{"none": b, "one": wrapped{b}, "two": wrapped{wrapped{b}}} {
		err := kms.NewClient(backend, nil).Diagnose(t.Context(), k)
		var found *kms.AuthenticityError
		if !errors.Is(err, kms.ErrWrongKey) || !errors.As(err, &found) || found.OpenedBy != "key-2" {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := kms.NewClient(bare{b}, nil).Diagnose(t.Context(), k); err != nil {
		t.Errorf("a backend that cannot try its keys: %v", err)
	}
}

// TestDiagnoseDefaultKey: metadata may name no key, and the default key is that
// of the Client or that of the backend.
func TestDiagnoseDefaultKey(t *testing.T) {
	b, k := sealedByOther(t)
	k.KeyID = ""
	for _, o := range []*kms.Options{nil, {DefaultKeyID: "key-1"}} {
		if err := kms.NewClient(b, o).Diagnose(t.Context(), k); !errors.Is(err, kms.ErrWrongKey) {
			t.Errorf("%+v: %v", o, err)
		}
	}
}

// TestDiagnoseAuthorized: a hook that refuses to open with a key also refuses
// to find out about it.
func TestDiagnoseAuthorized(t *testing.T) {
	b, k := sealedByOther(t)
	k.Others = []kms.AssociatedData{nil}
	asked := 0
	c := kms.NewClient(b, &kms.Options{Authorize: func(_ context.Context, op kms.Operation, keyID string, _ kms.AssociatedData) error {
		asked++
		if keyID != "key-1" {
			t.Errorf("%s with key %q", op, keyID)
		}
		return errors.New("no")
	}})
	if err := c.Diagnose(t.Context(), k); err != nil || asked == 0 {
		t.Errorf("asked %d times: %v", asked, err)
	}
}

func TestDiagnoseHostile(t *testing.T) {
	b, k := sealedByOther(t)
	c := kms.NewClient(b, nil)
	for what, ciphertext := range map[string][]byte{"none": nil, "too long": make([]byte, kms.MaxCiphertext+1), "random": []byte(strings.Repeat("x", 76))} {
		if err := c.Diagnose(t.Context(), kms.Case{KeyID: "key-1", Ciphertext: ciphertext}); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	for _, id := range []string{"missing", "../key-1", "\xff", strings.Repeat("k", 1<<20)} {
		k.KeyID = id
		err := c.Diagnose(t.Context(), k)
		if err != nil && len(err.Error()) > 1024 {
			t.Errorf("the error has %d bytes", len(err.Error()))
		}
	}
	for _, c := range []*kms.Client{nil, kms.NewClient(nil, nil)} {
		if err := c.Diagnose(t.Context(), k); err != nil {
			t.Error(err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	k.KeyID = "key-1"
	if err := c.Diagnose(ctx, k); err != nil {
		t.Errorf("a cancelled context is evidence: %v", err)
	}

	// Associated data comes from metadata and is told in the error.
	for n, most := range map[int]int{1: 200, 100_000: 2000} {
		turned := kms.AssociatedData{"a": strings.Repeat("\u202e", n)}
		fake := kmstest.NewBackend("key-1")
		made, err := fake.GenerateKey(t.Context(), "key-1", turned)
		if err != nil {
			t.Fatal(err)
		}
		err = kms.NewClient(fake, nil).Diagnose(t.Context(), kms.Case{KeyID: "key-1", Ciphertext: made.Ciphertext, Others: []kms.AssociatedData{turned}})
		if !errors.Is(err, kms.ErrWrongContext) || len(err.Error()) > most || strings.Contains(err.Error(), "\u202e") {
			t.Errorf("an error of %d bytes, or with what changes the direction of text", len(err.Error()))
		}
	}
}
