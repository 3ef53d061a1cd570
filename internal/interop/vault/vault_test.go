// Package vault tests kms/gocloud with the Vault driver of gocloud.dev/secrets,
// over HTTP. The server is a stand-in of some lines for the transit engine of
// HashiCorp Vault and OpenBao, written from its public API description; neither
// can be built from what the Go module proxy serves.
package vault_test

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/hashicorp/vault/api"
	"gocloud.dev/secrets"
	"gocloud.dev/secrets/hashivault"

	"github.com/objseal/objseal/kms"
	"github.com/objseal/objseal/kms/gocloud"
	"github.com/objseal/objseal/kms/kmstest"
)

const token = "test-token"

// transit answers encrypt and decrypt of named keys, as Vault's transit engine
// does: AES-256-GCM, ciphertexts "vault:v1:" and base64, errors as a JSON list.
type transit struct {
	keys  map[string]cipher.AEAD
	calls atomic.Int32
	odd   atomic.Bool // answer without content from now on
}

func newTransit(t testing.TB, names ...string) *transit {
	v := &transit{keys: make(map[string]cipher.AEAD)}
	for _, name := range names {
		key := make([]byte, 32)
		rand.Read(key)
		block, err := aes.NewCipher(key)
		if err != nil {
			t.Fatal(err)
		}
		if v.keys[name], err = cipher.NewGCMWithRandomNonce(block); err != nil {
			t.Fatal(err)
		}
	}
	return v
}

func (v *transit) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	v.calls.Add(1)
	if v.odd.Load() {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	data, status, err := v.answer(r)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	if err != nil {
		json.NewEncoder(w).Encode(map[string]any{"errors": []string{err.Error()}})
		return
	}
	json.NewEncoder(w).Encode(map[string]any{"data": data})
}

const prefix = "vault:v1:"

func (v *transit) answer(r *http.Request) (map[string]string, int, error) {
	if r.Header.Get("X-Vault-Token") != token {
		return nil, http.StatusForbidden, errors.New("permission denied")
	}
	var in struct{ Plaintext, Ciphertext string }
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		return nil, http.StatusBadRequest, err
	}
	op, name, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/v1/transit/"), "/")
	key, ok := v.keys[name]
	if !ok {
		return nil, http.StatusBadRequest, errors.New("encryption key not found")
	}
	switch op {
	case "encrypt":
		b, err := base64.StdEncoding.DecodeString(in.Plaintext)
		if err != nil {
			return nil, http.StatusBadRequest, err
		}
		return map[string]string{"ciphertext": prefix + base64.StdEncoding.EncodeToString(key.Seal(nil, nil, b, nil))}, http.StatusOK, nil
	case "decrypt":
		text, ok := strings.CutPrefix(in.Ciphertext, prefix)
		if !ok {
			return nil, http.StatusBadRequest, errors.New("invalid ciphertext: no prefix")
		}
		b, err := base64.StdEncoding.DecodeString(text)
		if err == nil {
			b, err = key.Open(nil, nil, b, nil)
		}
		if err != nil {
			return nil, http.StatusBadRequest, errors.New("cipher: message authentication failed")
		}
		return map[string]string{"plaintext": base64.StdEncoding.EncodeToString(b)}, http.StatusOK, nil
	}
	return nil, http.StatusNotFound, errors.New("no such path")
}

// dial returns a Backend whose ids are the names of keys of the server at url.
func dial(t testing.TB, url, token string, names ...string) *gocloud.Backend {
	t.Helper()
	client, err := hashivault.Dial(t.Context(), &hashivault.Config{Token: token, APIConfig: api.Config{Address: url}})
	if err != nil {
		t.Fatal(err)
	}
	keepers := make(map[string]*secrets.Keeper)
	for _, name := range names {
		keepers[name] = hashivault.OpenKeeper(client, name, nil)
	}
	b, err := gocloud.New(keepers, names[0], &gocloud.Options{Classify: classify})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

// classify is what a program that uses Vault gives to gocloud.
func classify(err error) error {
	var answer *api.ResponseError
	if !errors.As(err, &answer) {
		return nil
	}
	switch answer.StatusCode {
	case http.StatusForbidden:
		return fmt.Errorf("%w: %w", kms.ErrNotPermitted, err)
	case http.StatusServiceUnavailable, http.StatusTooManyRequests: // sealed, or too many requests
		return fmt.Errorf("%w: %w", kms.ErrUnreachable, err)
	}
	return nil
}

func TestConformanceVaultTransit(t *testing.T) {
	kmstest.Run(t, func(t *testing.T) kmstest.Harness {
		server := httptest.NewServer(newTransit(t, "key-1", "key-2"))
		t.Cleanup(server.Close)
		return kmstest.Harness{Backend: dial(t, server.URL, token, "key-1", "key-2"), KeyIDs: [2]string{"key-1", "key-2"}}
	})
}

// TestKinds: what goes wrong with a key server is told apart.
func TestKinds(t *testing.T) {
	v := newTransit(t, "key-1")
	server := httptest.NewServer(v)
	defer server.Close()
	good := kms.NewClient(dial(t, server.URL, token, "key-1"), nil)
	g, err := good.GenerateKey(t.Context(), "", nil)
	if err != nil {
		t.Fatal(err)
	}
	if n := v.calls.Load(); n != 1 {
		t.Errorf("GenerateKey asks %d times", n)
	}
	if _, err := good.Decrypt(t.Context(), g.KeyID, g.Ciphertext, nil); err != nil || v.calls.Load() != 2 {
		t.Errorf("Decrypt: %v, %d calls by now", err, v.calls.Load())
	}
	check := func(what string, c *kms.Client, kind error) {
		t.Helper()
		key, err := c.Decrypt(t.Context(), g.KeyID, g.Ciphertext, nil)
		if !errors.Is(err, kind) || !key.IsZero() {
			t.Errorf("%s: Decrypt: %v, want %v", what, err, kind)
		}
		if _, err := c.GenerateKey(t.Context(), g.KeyID, nil); !errors.Is(err, kind) {
			t.Errorf("%s: GenerateKey: %v, want %v", what, err, kind)
		}
		if _, err := c.Status(t.Context()); !errors.Is(err, kind) {
			t.Errorf("%s: Status: %v, want %v", what, err, kind)
		}
	}
	check("other token", kms.NewClient(dial(t, server.URL, "other", "key-1"), nil), kms.ErrNotPermitted)

	other := httptest.NewServer(newTransit(t, "key-1"))
	defer other.Close()
	recreated := kms.NewClient(dial(t, other.URL, token, "key-1"), nil)
	if _, err := recreated.Decrypt(t.Context(), g.KeyID, g.Ciphertext, nil); !errors.Is(err, kms.ErrNotAuthentic) {
		t.Errorf("a key of that name that is another one: %v", err)
	}

	// The key is configured, and the server has none: Vault says 400 to that as
	// to a bad ciphertext, and sealing shows that it is not the ciphertext.
	none := httptest.NewServer(newTransit(t))
	defer none.Close()
	var asked *kms.Error
	if _, err := kms.NewClient(dial(t, none.URL, token, "key-1"), nil).Decrypt(t.Context(), g.KeyID, g.Ciphertext, nil); errors.Is(err, kms.ErrNotAuthentic) || !errors.As(err, &asked) {
		t.Errorf("no key: %v", err)
	}

	v.odd.Store(true)
	if _, err := good.GenerateKey(t.Context(), "", nil); !errors.As(err, &asked) { // the driver panics
		t.Errorf("an answer without content: %v", err)
	}
	server.Close()
	check("no server", good, kms.ErrUnreachable)
}
