package kmstest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/objseal/objseal/kms"
)

// Harness is a backend to be tested.
type Harness struct {
	Backend kms.Backend

	// KeyIDs name two keys that exist and may be used.
	KeyIDs [2]string

	// MissingKeyID could be a key's name, and is none's. Empty: "no-such-key".
	MissingKeyID string
}

// Run runs the suite, every test of it on a backend of its own.
func Run(t *testing.T, newBackend func(t *testing.T) Harness) {
	for _, c := range checks {
		t.Run(c.name, func(t *testing.T) {
			h := newBackend(t)
			if h.MissingKeyID == "" {
				h.MissingKeyID = "no-such-key"
			}
			c.run(t, h)
		})
	}
}

// checks are in the order in which a new backend should pass them.
var checks = []struct {
	name string
	run  func(testing.TB, Harness)
}{
	{"round trip", roundTrip},
	{"no associated data is empty associated data", noAssociatedData},
	{"keys are unique", unique},
	{"other associated data", otherAssociatedData},
	{"other key", otherKey},
	{"missing key", missingKey},
	{"tampered ciphertext", tampered},
	{"ciphertext of another length", otherLength},
	{"hostile key ids", hostileKeyIDs},
	{"nothing is shared with the caller", aliasing},
	{"concurrent use", concurrent},
	{"cancelled context", cancelled},
	{"status", status},
	{"manager", manager},
	{"encrypter", encrypter},
}

// someAssociatedData is what the suite binds most keys to.
func someAssociatedData() kms.AssociatedData {
	return kms.AssociatedData{"bucket": "bucket/dir/object"}
}

func (h Harness) generate(t testing.TB, keyID string, ad kms.AssociatedData) kms.GeneratedKey {
	t.Helper()
	g, err := h.Backend.GenerateKey(t.Context(), keyID, ad)
	if err != nil {
		t.Fatalf("GenerateKey: %v", err)
	}
	switch {
	case len(g.Key.Bytes()) != kms.DataKeySize:
		t.Fatalf("the data key has %d bytes", len(g.Key.Bytes()))
	case len(g.Ciphertext) == 0 || len(g.Ciphertext) > kms.MaxCiphertext:
		t.Fatalf("the ciphertext has %d bytes", len(g.Ciphertext))
	case g.KeyID != keyID:
		t.Fatalf("the key is of key id %q, want %q", g.KeyID, keyID)
	case bytes.Contains(g.Ciphertext, g.Key.Bytes()[:8]):
		t.Fatal("the ciphertext holds the data key")
	}
	return g
}

// opens wants the key that was generated.
func (h Harness) opens(t testing.TB, g kms.GeneratedKey, ad kms.AssociatedData) {
	t.Helper()
	key, err := h.Backend.Decrypt(t.Context(), g.KeyID, g.Ciphertext, ad)
	if err != nil {
		t.Fatalf("Decrypt: %v", err)
	}
	if !key.Equal(g.Key) {
		t.Error("Decrypt returns another key")
	}
}

// refuses wants an error of one of the kinds, and no key.
func (h Harness) refuses(t testing.TB, what, keyID string, ciphertext []byte, ad kms.AssociatedData, kinds ...error) {
	t.Helper()
	key, err := h.Backend.Decrypt(t.Context(), keyID, ciphertext, ad)
	wantKind(t, what+": Decrypt", err, kinds...)
	if !key.IsZero() {
		t.Errorf("%s: Decrypt returns a key beside its error", what)
	}
}

func wantKind(t testing.TB, what string, err error, kinds ...error) {
	t.Helper()
	if !slices.ContainsFunc(kinds, func(kind error) bool { return errors.Is(err, kind) }) {
		t.Errorf("%s: error %v, want %v", what, err, kinds)
	}
}

func roundTrip(t testing.TB, h Harness) {
	many := make(kms.AssociatedData)
	for i := range 100 {
		many[fmt.Sprintf("name-%d", i)] = strings.Repeat("v", i)
	}
	for _, ad := range []kms.AssociatedData{
		someAssociatedData(),
		{"": ""},
		{"a": "1", "b": "2", "Z": "3"},
		{"quote\"": "back\\slash <&> \u2028 é \x01\b\f\n\x7f"},
		{"not UTF-8": "\xff"},
		many,
	} {
		for _, id := range h.KeyIDs {
			h.opens(t, h.generate(t, id, ad), ad)
		}
	}
}

func noAssociatedData(t testing.TB, h Harness) {
	h.opens(t, h.generate(t, h.KeyIDs[0], nil), kms.AssociatedData{})
	h.opens(t, h.generate(t, h.KeyIDs[0], kms.AssociatedData{}), nil)
}

func unique(t testing.TB, h Harness) {
	seen := make(map[string]bool)
	const n = 50
	for range n {
		g := h.generate(t, h.KeyIDs[0], someAssociatedData())
		seen[string(g.Key.Bytes())], seen[string(g.Ciphertext)] = true, true
	}
	if len(seen) != 2*n {
		t.Errorf("%d data keys and their ciphertexts are %d values", n, len(seen))
	}
}

func otherAssociatedData(t testing.TB, h Harness) {
	g := h.generate(t, h.KeyIDs[0], someAssociatedData())
	more := someAssociatedData()
	more["tenant"] = ""
	for what, ad := range map[string]kms.AssociatedData{
		"no associated data": nil,
		"other value":        {"bucket": "bucket/dir/other"},
		"other name":         {"Bucket": "bucket/dir/object"},
		"one pair more":      more,
	} {
		h.refuses(t, what, g.KeyID, g.Ciphertext, ad, kms.ErrNotAuthentic)
	}
	h.opens(t, g, someAssociatedData())
	empty := h.generate(t, h.KeyIDs[0], nil)
	h.refuses(t, "associated data where there was none", empty.KeyID, empty.Ciphertext, someAssociatedData(), kms.ErrNotAuthentic)
}

func otherKey(t testing.TB, h Harness) {
	g := h.generate(t, h.KeyIDs[0], someAssociatedData())
	h.refuses(t, "other key", h.KeyIDs[1], g.Ciphertext, someAssociatedData(), kms.ErrNotAuthentic)
}

func missingKey(t testing.TB, h Harness) {
	g := h.generate(t, h.KeyIDs[0], nil)
	h.refuses(t, "missing key", h.MissingKeyID, g.Ciphertext, nil, kms.ErrKeyNotFound)
	_, err := h.Backend.GenerateKey(t.Context(), h.MissingKeyID, nil)
	wantKind(t, "missing key: GenerateKey", err, kms.ErrKeyNotFound)
}

// tampered changes every byte. Some formats carry bytes that are not
// authenticated, such as a key id that nobody reads; whatever opens must open
// to the same key, and most bytes must matter.
func tampered(t testing.TB, h Harness) {
	g := h.generate(t, h.KeyIDs[0], someAssociatedData())
	opened := 0
	for i := range g.Ciphertext {
		c := slices.Clone(g.Ciphertext)
		c[i] ^= 0x40
		key, err := h.Backend.Decrypt(t.Context(), g.KeyID, c, someAssociatedData())
		switch {
		case err == nil && !key.Equal(g.Key):
			t.Fatalf("byte %d of %d changed: Decrypt returns another key", i, len(c))
		case err == nil:
			opened++
		default:
			wantKind(t, fmt.Sprintf("byte %d of %d changed: Decrypt", i, len(c)), err, kms.ErrNotAuthentic)
		}
	}
	if opened*2 >= len(g.Ciphertext) {
		t.Errorf("%d of %d bytes may be changed", opened, len(g.Ciphertext))
	}
}

func otherLength(t testing.TB, h Harness) {
	g := h.generate(t, h.KeyIDs[0], someAssociatedData())
	for n := range g.Ciphertext {
		h.refuses(t, fmt.Sprintf("cut to %d bytes", n), g.KeyID, g.Ciphertext[:n], someAssociatedData(), kms.ErrNotAuthentic)
	}
	for what, c := range map[string][]byte{
		"nil":             nil,
		"one byte more":   append(slices.Clone(g.Ciphertext), 0),
		"one byte before": append([]byte{0}, g.Ciphertext...),
		"twice":           slices.Concat(g.Ciphertext, g.Ciphertext),
		"64 KiB":          make([]byte, kms.MaxCiphertext),
		"64 KiB and 1":    make([]byte, kms.MaxCiphertext+1),
		"4 MiB":           bytes.Repeat([]byte("{"), 4<<20),
	} {
		h.refuses(t, what, g.KeyID, c, someAssociatedData(), kms.ErrNotAuthentic)
	}
}

func hostileKeyIDs(t testing.TB, h Harness) {
	g := h.generate(t, h.KeyIDs[0], nil)
	existing := h.KeyIDs[0]
	for _, id := range []string{
		".", "..", "/", "../" + existing, "./" + existing, existing + "/", existing + "/../" + existing, `..\` + existing, "a/" + existing,
		"%2e%2e%2f" + existing, existing + "?", existing + "#", existing + "*", "*", existing + "\x00", existing + "\n", " " + existing, existing + " ",
		"\xff\xfe", "\u202e" + existing, "-", "_", "-" + existing, existing + "-", "https://127.0.0.1:1/" + existing, strings.Repeat("a", 81), strings.Repeat("a", 1<<20),
	} {
		what := "key id " + kms.QuoteKeyID(id)
		h.refuses(t, what, id, g.Ciphertext, nil, kms.ErrInvalidKeyID, kms.ErrKeyNotFound)
		_, err := h.Backend.GenerateKey(t.Context(), id, nil)
		wantKind(t, what+": GenerateKey", err, kms.ErrInvalidKeyID, kms.ErrKeyNotFound)
		if err != nil && len(err.Error()) > 1024 {
			t.Errorf("%s: the error has %d bytes", what, len(err.Error()))
		}
	}
}

// aliasing changes everything that went to and came from the backend.
func aliasing(t testing.TB, h Harness) {
	ad := someAssociatedData()
	g := h.generate(t, h.KeyIDs[0], ad)
	if !maps.Equal(ad, someAssociatedData()) {
		t.Error("GenerateKey changes the associated data")
	}
	ad["bucket"] = "changed"
	stored := kms.GeneratedKey{Key: kms.DataKey{Key: g.Key.Clone()}, KeyID: g.KeyID, Ciphertext: slices.Clone(g.Ciphertext)}
	g.Key.Wipe()
	clear(g.Ciphertext)

	sent := slices.Clone(stored.Ciphertext)
	first, err := h.Backend.Decrypt(t.Context(), stored.KeyID, sent, someAssociatedData())
	if err != nil {
		t.Fatalf("Decrypt: %v", err)
	}
	if !bytes.Equal(sent, stored.Ciphertext) {
		t.Error("Decrypt changes the ciphertext")
	}
	first.Wipe()
	clear(sent)
	h.opens(t, stored, someAssociatedData())
}

func concurrent(t testing.TB, h Harness) {
	var wait sync.WaitGroup
	for i := range 8 {
		wait.Go(func() {
			for j := range 8 {
				ad := kms.AssociatedData{"bucket": fmt.Sprintf("bucket/%d/%d", i, j)}
				g, err := h.Backend.GenerateKey(t.Context(), h.KeyIDs[j%2], ad)
				if err != nil {
					t.Errorf("GenerateKey: %v", err)
					return
				}
				if key, err := h.Backend.Decrypt(t.Context(), g.KeyID, g.Ciphertext, ad); err != nil || !key.Equal(g.Key) {
					t.Errorf("Decrypt: error %v, or another key", err)
				}
			}
		})
	}
	wait.Wait()
}

func cancelled(t testing.TB, h Harness) {
	g := h.generate(t, h.KeyIDs[0], nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := h.Backend.GenerateKey(ctx, h.KeyIDs[0], nil)
	wantCancelled(t, "GenerateKey", err)
	_, err = h.Backend.Decrypt(ctx, g.KeyID, g.Ciphertext, nil)
	wantCancelled(t, "Decrypt", err)
	_, err = h.Backend.Status(ctx)
	wantCancelled(t, "Status", err)
	h.opens(t, g, nil)
}

func wantCancelled(t testing.TB, what string, err error) {
	t.Helper()
	wantKind(t, what, err, context.Canceled)
	if errors.Is(err, kms.ErrUnreachable) {
		t.Errorf("%s: a cancelled call says that the backend is unreachable: %v", what, err)
	}
}

func status(t testing.TB, h Harness) {
	s, err := h.Backend.Status(t.Context())
	if err != nil || s.Backend == "" || s.KeyStoreUnreachable {
		t.Errorf("Status: %+v, error %v", s, err)
	}
}

func manager(t testing.TB, h Harness) {
	m, ok := h.Backend.(kms.Manager)
	if !ok {
		return // an optional part, and a backend that has it says so by its type
	}
	for _, id := range h.KeyIDs {
		info, err := m.DescribeKey(t.Context(), id)
		if err != nil || info.Name != id {
			t.Errorf("DescribeKey: %+v, error %v", info, err)
		}
		wantKind(t, "CreateKey of a key that exists", m.CreateKey(t.Context(), id), kms.ErrKeyExists)
	}
	_, err := m.DescribeKey(t.Context(), h.MissingKeyID)
	wantKind(t, "DescribeKey of a missing key", err, kms.ErrKeyNotFound)
	_, err = m.DescribeKey(t.Context(), "../"+h.KeyIDs[0])
	wantKind(t, "DescribeKey of a path", err, kms.ErrInvalidKeyID, kms.ErrKeyNotFound)
	wantKind(t, "CreateKey of a path", m.CreateKey(t.Context(), "../"+h.KeyIDs[0]), kms.ErrInvalidKeyID, kms.ErrUnsupported)

	all, err := m.ListKeys(t.Context(), "")
	if err != nil || !slices.IsSorted(all) || !slices.Contains(all, h.KeyIDs[0]) || !slices.Contains(all, h.KeyIDs[1]) {
		t.Errorf("ListKeys: %q, error %v", all, err)
	}
	some, err := m.ListKeys(t.Context(), h.KeyIDs[1])
	if want := slices.DeleteFunc(all, func(id string) bool { return !strings.HasPrefix(id, h.KeyIDs[1]) }); err != nil || !slices.Equal(some, want) {
		t.Errorf("ListKeys of a prefix: %q, error %v, want %q", some, err, want)
	}

	switch err := m.CreateKey(t.Context(), h.MissingKeyID); {
	case errors.Is(err, kms.ErrUnsupported): // its keys are fixed
	case err != nil:
		t.Errorf("CreateKey: %v", err)
	default:
		h.opens(t, h.generate(t, h.MissingKeyID, nil), nil)
	}
}

func encrypter(t testing.TB, h Harness) {
	e, ok := h.Backend.(kms.Encrypter)
	if !ok {
		return // optional, as above
	}
	key := kms.RandomDataKey()
	sealed, err := e.Encrypt(t.Context(), h.KeyIDs[0], key.Bytes(), someAssociatedData())
	if err != nil {
		t.Fatalf("Encrypt: %v", err)
	}
	h.opens(t, kms.GeneratedKey{Key: key, KeyID: h.KeyIDs[0], Ciphertext: sealed}, someAssociatedData())
	h.refuses(t, "encrypted under another key", h.KeyIDs[1], sealed, someAssociatedData(), kms.ErrNotAuthentic)
	_, err = e.Encrypt(t.Context(), h.MissingKeyID, key.Bytes(), nil)
	wantKind(t, "Encrypt under a missing key", err, kms.ErrKeyNotFound)
	for _, n := range []int{0, 1, 31, 33, 1000} {
		sealed, err := e.Encrypt(t.Context(), h.KeyIDs[0], make([]byte, n), nil)
		if err != nil {
			t.Errorf("Encrypt of %d bytes: %v", n, err)
			continue
		}
		h.refuses(t, fmt.Sprintf("%d bytes, not a data key", n), h.KeyIDs[0], sealed, nil, kms.ErrKeySize)
	}
}
