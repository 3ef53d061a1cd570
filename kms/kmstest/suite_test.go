package kmstest

// Not an external test: each check of the suite is run by itself, on backends
// that are wrong on purpose.

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"testing"

	"github.com/objseal/objseal/kms"
)

func harness(*testing.T) Harness {
	return Harness{Backend: NewBackend("key-1", "key-2"), KeyIDs: [2]string{"key-1", "key-2"}}
}

func TestBackend(t *testing.T) { Run(t, harness) }

// wrong is a Backend with one defect.
type wrong struct {
	*Backend
	generate func(g *kms.GeneratedKey, ad kms.AssociatedData)
	keyID    func(string) string
	ad       func(kms.AssociatedData) kms.AssociatedData
	decrypt  func(b *Backend, ciphertext []byte, key kms.DataKey, err error) (kms.DataKey, error)
	ctx      func(context.Context) context.Context
}

func (w wrong) GenerateKey(ctx context.Context, keyID string, ad kms.AssociatedData) (kms.GeneratedKey, error) {
	asked := keyID
	if w.ctx != nil {
		ctx = w.ctx(ctx)
	}
	if w.keyID != nil {
		keyID = w.keyID(keyID)
	}
	bound := ad
	if w.ad != nil {
		bound = w.ad(ad)
	}
	g, err := w.Backend.GenerateKey(ctx, keyID, bound)
	if w.keyID != nil {
		g.KeyID = asked
	}
	if w.generate != nil && err == nil {
		w.generate(&g, ad)
	}
	return g, err
}

func (w wrong) Decrypt(ctx context.Context, keyID string, ciphertext []byte, ad kms.AssociatedData) (kms.DataKey, error) {
	if w.ctx != nil {
		ctx = w.ctx(ctx)
	}
	if w.keyID != nil {
		keyID = w.keyID(keyID)
	}
	if w.ad != nil {
		ad = w.ad(ad)
	}
	key, err := w.Backend.Decrypt(ctx, keyID, ciphertext, ad)
	if w.decrypt != nil {
		return w.decrypt(w.Backend, ciphertext, key, err)
	}
	return key, err
}

// recorder takes the place of a *testing.T.
type recorder struct {
	testing.TB
	mu     sync.Mutex
	failed []string
}

func (r *recorder) Helper() {}

func (r *recorder) Errorf(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failed = append(r.failed, fmt.Sprintf(format, args...))
}

func (r *recorder) Fatalf(format string, args ...any) {
	r.Errorf(format, args...)
	runtime.Goexit()
}

func (r *recorder) Error(args ...any) { r.Errorf("%s", fmt.Sprint(args...)) }
func (r *recorder) Fatal(args ...any) { r.Fatalf("%s", fmt.Sprint(args...)) }

// failing returns the names of the checks that a backend fails.
func failing(t *testing.T, newBackend func() kms.Backend) (names []string) {
	for _, c := range checks {
		r := &recorder{TB: t}
		var wait sync.WaitGroup
		wait.Go(func() { // Fatalf ends the goroutine
			c.run(r, Harness{Backend: newBackend(), KeyIDs: [2]string{"key-1", "key-2"}, MissingKeyID: "no-such-key"})
		})
		wait.Wait()
		if len(r.failed) > 0 {
			names = append(names, c.name)
		}
	}
	return names
}

// TestSuiteFindsDefects breaks a backend in one way after the other.
func TestSuiteFindsDefects(t *testing.T) {
	fixed := kms.RandomDataKey()
	for _, test := range []struct {
		defect string
		wrong  wrong
		check  string // that must fail
	}{
		{"associated data is ignored", wrong{ad: func(kms.AssociatedData) kms.AssociatedData { return nil }}, "other associated data"},
		{"nil and empty associated data differ", wrong{ad: func(ad kms.AssociatedData) kms.AssociatedData {
			if ad == nil {
				return kms.AssociatedData{"nil": "nil"}
			}
			return ad
		}}, "no associated data is empty associated data"},
		{"key id is ignored", wrong{keyID: func(string) string { return "key-1" }}, "other key"},
		{"missing keys are the default key", wrong{keyID: func(id string) string {
			if id != "key-2" {
				id = "key-1"
			}
			return id
		}}, "missing key"},
		{"path elements are dropped", wrong{keyID: func(id string) string {
			if i := len(id) - len("key-1"); i > 0 && id[i-1] == '/' {
				id = id[i:]
			}
			return id
		}}, "hostile key ids"},
		{"a wrong ciphertext gives a key", wrong{decrypt: func(_ *Backend, _ []byte, key kms.DataKey, err error) (kms.DataKey, error) {
			if errors.Is(err, kms.ErrNotAuthentic) {
				return fixed, nil
			}
			return key, err
		}}, "tampered ciphertext"},
		{"a key beside the error", wrong{decrypt: func(_ *Backend, _ []byte, key kms.DataKey, err error) (kms.DataKey, error) {
			if err != nil {
				return fixed, err
			}
			return key, nil
		}}, "ciphertext of another length"},
		{"errors have no kind", wrong{decrypt: func(_ *Backend, _ []byte, key kms.DataKey, err error) (kms.DataKey, error) {
			if err != nil {
				err = errors.New("failed")
			}
			return key, err
		}}, "tampered ciphertext"},
		{"the ciphertext is cleared", wrong{decrypt: func(_ *Backend, ciphertext []byte, key kms.DataKey, err error) (kms.DataKey, error) {
			clear(ciphertext)
			return key, err
		}}, "nothing is shared with the caller"},
		{"the associated data is changed", wrong{generate: func(_ *kms.GeneratedKey, ad kms.AssociatedData) {
			if len(ad) > 0 {
				ad["added"] = ""
			}
		}}, "nothing is shared with the caller"},
		{"decrypted keys are shared", wrong{decrypt: shareKeys()}, "nothing is shared with the caller"},
		{"the key id is not told", wrong{generate: func(g *kms.GeneratedKey, _ kms.AssociatedData) { g.KeyID = "" }}, "round trip"},
		{"the ciphertext holds the key", wrong{generate: func(g *kms.GeneratedKey, _ kms.AssociatedData) {
			g.Ciphertext = slices.Concat(g.Key.Bytes(), g.Ciphertext)
		}}, "round trip"},
		{"contexts are ignored", wrong{ctx: context.WithoutCancel}, "cancelled context"},
	} {
		t.Run(test.defect, func(t *testing.T) {
			found := failing(t, func() kms.Backend {
				test.wrong.Backend = NewBackend("key-1", "key-2")
				return test.wrong
			})
			if !slices.Contains(found, test.check) {
				t.Errorf("fails %q, want %q among them", found, test.check)
			}
		})
	}
}

// shareKeys returns the same key for the same ciphertext.
func shareKeys() func(*Backend, []byte, kms.DataKey, error) (kms.DataKey, error) {
	var mu sync.Mutex
	cache := make(map[string]kms.DataKey)
	return func(_ *Backend, ciphertext []byte, key kms.DataKey, err error) (kms.DataKey, error) {
		mu.Lock()
		defer mu.Unlock()
		if cached, ok := cache[string(ciphertext)]; ok && err == nil {
			return cached, nil
		}
		if err == nil {
			cache[string(ciphertext)] = key
		}
		return key, err
	}
}

func TestBackendCountsAndFails(t *testing.T) {
	b := NewBackend("key-1")
	down := errors.New("down")
	g, err := b.GenerateKey(t.Context(), "", nil)
	if err != nil || g.KeyID != "key-1" {
		t.Fatalf("default key: %q, %v", g.KeyID, err)
	}
	b.Fail(down)
	if _, err := b.Decrypt(t.Context(), "key-1", g.Ciphertext, nil); !errors.Is(err, down) {
		t.Errorf("Fail: %v", err)
	}
	b.Fail(nil)
	if _, err := b.Decrypt(t.Context(), "key-1", g.Ciphertext, nil); err != nil {
		t.Error(err)
	}
	b.Delete("key-1")
	if _, err := b.Decrypt(t.Context(), "key-1", g.Ciphertext, nil); !errors.Is(err, kms.ErrKeyNotFound) {
		t.Errorf("Delete: %v", err)
	}
	for op, want := range map[kms.Operation]int{kms.OpGenerateKey: 1, kms.OpDecrypt: 3, kms.OpStatus: 0} {
		if got := b.Calls(op); got != want {
			t.Errorf("%s: %d calls, want %d", op, got, want)
		}
	}
}
