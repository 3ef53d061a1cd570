//go:build unix

package kessuite

import (
	"context"
	"errors"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/objseal/objseal/internal/interop/kesproc"
	"github.com/objseal/objseal/kms"
	"github.com/objseal/objseal/kms/kes"
	"github.com/objseal/objseal/kms/kmstest"
)

// testBackend runs the conformance suite of all key backends on the library's
// client, and looks at what only a real server does to it.
func testBackend(t *testing.T, binary string) {
	for _, cipher := range []struct {
		name    string
		options *kesproc.Options
	}{
		{"AES256", nil},
		{"ChaCha20", chacha20},
	} {
		for _, credential := range []struct {
			name string
			of   func(*testing.T, *kesproc.Deployment) kes.Credentials
		}{
			{"API key", func(t *testing.T, d *kesproc.Deployment) kes.Credentials { return apiKey(t, d.APIKey) }},
			{"mTLS", certificate},
		} {
			t.Run(cipher.name+" keys with "+credential.name, func(t *testing.T) {
				kmstest.Run(t, func(t *testing.T) kmstest.Harness {
					d := kesproc.NewDeployment(t, binary, cipher.options)
					s := d.Start(t)
					createKeys(t, d, s)
					return kmstest.Harness{
						Backend: backend(t, d, credential.of(t, d), nil, s),
						KeyIDs:  [2]string{"app-1", "app-2"},
					}
				})
			})
		}
	}

	t.Run("identity without rights", func(t *testing.T) {
		d := kesproc.NewDeployment(t, binary, nil)
		s := d.Start(t)
		createKeys(t, d, s)
		b := backend(t, d, apiKey(t, d.Stranger), nil, s)
		if _, err := b.GenerateKey(t.Context(), "app-1", nil); !errors.Is(err, kms.ErrNotPermitted) {
			t.Errorf("GenerateKey: %v, want %v", err, kms.ErrNotPermitted)
		}
		if err := b.CreateKey(t.Context(), "app-3"); !errors.Is(err, kms.ErrNotPermitted) {
			t.Errorf("CreateKey: %v, want %v", err, kms.ErrNotPermitted)
		}
	})

	t.Run("key store gone", func(t *testing.T) {
		d := kesproc.NewDeployment(t, binary, nil)
		s := d.Start(t)
		b := backend(t, d, apiKey(t, d.APIKey), nil, s)
		if err := os.RemoveAll(d.KeyStore); err != nil {
			t.Fatal(err)
		}
		if status, err := b.Status(t.Context()); err != nil || !status.KeyStoreUnreachable {
			t.Errorf("Status: %+v, error %v, want an unreachable key store", status, err)
		}
		if err := b.CreateKey(t.Context(), "app-1"); err == nil {
			t.Error("CreateKey reports success without a key store")
		}
	})

	// The connections are open and have been used when the first server goes:
	// the request is on its way before anything fails.
	for _, take := range ways {
		t.Run("first of two servers "+take.name, func(t *testing.T) {
			d := kesproc.NewDeployment(t, binary, nil)
			first, second := d.Start(t), d.Start(t)
			createKeys(t, d, second)
			b := backend(t, d, certificate(t, d), &kes.Options{TryTimeout: time.Second}, first, second)
			ad := kms.AssociatedData{"bucket": "bucket/object"}
			before, err := b.GenerateKey(t.Context(), "app-1", ad)
			if err != nil {
				t.Fatal(err)
			}
			take.away(t, first)
			if key, err := b.Decrypt(t.Context(), "app-1", before.Ciphertext, ad); err != nil || !key.Equal(before.Key) {
				t.Errorf("Decrypt: error %v, or another key", err)
			}
			after, err := b.GenerateKey(t.Context(), "app-1", ad)
			if err != nil {
				t.Fatal(err)
			}
			if key, err := b.Decrypt(t.Context(), "app-1", after.Ciphertext, ad); err != nil || !key.Equal(after.Key) {
				t.Errorf("Decrypt of what the second server made: error %v, or another key", err)
			}
		})
	}

	t.Run("hung server and the caller's deadline", func(t *testing.T) {
		d := kesproc.NewDeployment(t, binary, nil)
		s := d.Start(t)
		b := backend(t, d, apiKey(t, d.APIKey), &kes.Options{TryTimeout: time.Hour}, s)
		s.Suspend(t)
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		if _, err := b.GenerateKey(ctx, "app-1", nil); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("GenerateKey: %v, want %v", err, context.DeadlineExceeded)
		}
	})
}

// ways to take a server away.
var ways = []struct {
	name string
	away func(*testing.T, *kesproc.Server)
}{
	{"dead", func(_ *testing.T, s *kesproc.Server) { s.Kill() }},
	{"hung", func(t *testing.T, s *kesproc.Server) { s.Suspend(t) }},
}

func createKeys(t *testing.T, d *kesproc.Deployment, s *kesproc.Server) {
	t.Helper()
	call(t, d, s, "create/app-1", nil, http.StatusOK)
	call(t, d, s, "create/app-2", nil, http.StatusOK)
}

func apiKey(t *testing.T, key kesproc.APIKey) kes.Credentials {
	t.Helper()
	parsed, err := kes.ParseAPIKey(key.Text)
	if err != nil {
		t.Fatal(err)
	}
	if parsed.Identity() != key.Identity {
		t.Errorf("the API key's identity is %s, want %s", parsed.Identity(), key.Identity)
	}
	return parsed
}

func certificate(t *testing.T, d *kesproc.Deployment) kes.Credentials {
	t.Helper()
	c, err := kes.LoadCertificate(d.Client.CertFile, d.Client.KeyFile, "")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// backend returns a client of the servers; it trusts the deployment's CA only.
func backend[S site](t *testing.T, d *kesproc.Deployment, creds kes.Credentials, o *kes.Options, servers ...S) *kes.Backend {
	t.Helper()
	config, err := d.TLS()
	if err != nil {
		t.Fatal(err)
	}
	if o == nil {
		o = &kes.Options{}
	}
	o.RootCAs = config.RootCAs
	var endpoints []string
	for _, s := range servers {
		endpoints = append(endpoints, s.Endpoint())
	}
	b, err := kes.New(endpoints, creds, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b
}
