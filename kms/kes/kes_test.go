package kes_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/objseal/objseal/kms"
	"github.com/objseal/objseal/kms/kes"
	"github.com/objseal/objseal/kms/kes/kestest"
	"github.com/objseal/objseal/kms/kmstest"
)

func TestConformance(t *testing.T) {
	for name, o := range map[string]kestest.Options{
		"HTTP/2":   {},
		"HTTP/1.1": {HTTP1: true},
		"TLS 1.2":  {MaxTLS: tls.VersionTLS12},
	} {
		t.Run(name, func(t *testing.T) {
			kmstest.Run(t, func(t *testing.T) kmstest.Harness {
				s := kestest.NewServerWith(o)
				t.Cleanup(s.Close)
				s.CreateKey("key-1", "key-2")
				return kmstest.Harness{Backend: s.Backend(nil), KeyIDs: [2]string{"key-1", "key-2"}}
			})
		})
	}
}

// TestRequests: what goes over the wire (KES spec sections 1.3 and 7.1).
func TestRequests(t *testing.T) {
	b, s := start(t, 1, kestest.Options{})
	ad := kms.AssociatedData{"bkt": "bkt/dir/o<&>é.txt"}
	const canonical = `{"bkt":"bkt/dir/o\u003c\u0026\u003eé.txt"}`
	g, err := b.GenerateKey(t.Context(), "key-1", ad)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.GenerateKey(t.Context(), "key-1", nil); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Decrypt(t.Context(), "key-1", g.Ciphertext, ad); err != nil {
		t.Fatal(err)
	}
	sealed, err := b.Encrypt(t.Context(), "key-1", []byte("plaintext"), ad)
	if err != nil || len(sealed) != len("plaintext")+44 {
		t.Fatal(err)
	}
	if err := b.CreateKey(t.Context(), "key-3"); err != nil {
		t.Fatal(err)
	}
	if _, err := b.DescribeKey(t.Context(), "key-3"); err != nil {
		t.Fatal(err)
	}
	type body struct{ Plaintext, Ciphertext, Context []byte }
	want := []struct {
		request string
		body    body
	}{
		{"POST /v1/key/generate/key-1", body{Context: []byte(canonical)}},
		{"POST /v1/key/generate/key-1", body{Context: []byte("{}")}},
		{"POST /v1/key/decrypt/key-1", body{Ciphertext: g.Ciphertext, Context: []byte(canonical)}},
		{"POST /v1/key/encrypt/key-1", body{Plaintext: []byte("plaintext"), Context: []byte(canonical)}},
		{"POST /v1/key/create/key-3", body{}},
		{"GET /v1/key/describe/key-3", body{}},
	}
	got := s[0].Requests("")
	if len(got) != len(want) {
		t.Fatalf("%d requests, want %d", len(got), len(want))
	}
	for i, r := range got {
		var sent body
		if len(r.Body) > 0 {
			if err := json.Unmarshal(r.Body, &sent); err != nil || r.Header.Get("Content-Type") != "application/json" {
				t.Errorf("%s: %v, Content-Type %q", r.Path, err, r.Header.Get("Content-Type"))
			}
		}
		w := want[i].body
		if r.Method+" "+r.Path != want[i].request || !bytes.Equal(sent.Plaintext, w.Plaintext) || !bytes.Equal(sent.Ciphertext, w.Ciphertext) || !bytes.Equal(sent.Context, w.Context) {
			t.Errorf("%s %s %s, want %s", r.Method, r.Path, r.Body, want[i].request)
		}
		if r.Proto != "HTTP/2.0" || r.ContentLength != int64(len(r.Body)) {
			t.Errorf("%s: %s, Content-Length %d of %d", r.Path, r.Proto, r.ContentLength, len(r.Body))
		}
	}
}

func TestDefaultKey(t *testing.T) {
	_, s := start(t, 1, kestest.Options{})
	b := s[0].Backend(&kes.Options{DefaultKeyID: "key-2"})
	g, err := b.GenerateKey(t.Context(), "", nil)
	if err != nil || g.KeyID != "key-2" {
		t.Fatalf("%q, %v", g.KeyID, err)
	}
	if key, err := b.Decrypt(t.Context(), "key-2", g.Ciphertext, nil); err != nil || !key.Equal(g.Key) {
		t.Error(err)
	}
	if _, err := b.GenerateKey(t.Context(), "key-1", nil); err != nil || s[0].Count("/v1/key/generate/key-1") != 1 {
		t.Errorf("the named key was not used: %v", err)
	}
}

func TestDescribeKey(t *testing.T) {
	b, s := start(t, 1, kestest.Options{})
	if err := b.CreateKey(t.Context(), "key-3"); err != nil {
		t.Fatal(err)
	}
	info, err := b.DescribeKey(t.Context(), "key-3")
	if err != nil || info.Name != "key-3" || info.Algorithm != "AES256" && info.Algorithm != "ChaCha20" || info.CreatedBy != s[0].Admin.Identity() || time.Since(info.CreatedAt) > time.Hour {
		t.Errorf("%+v, %v", info, err)
	}
	for answer, want := range map[string]kms.KeyInfo{
		`{"name":"other","algorithm":"AES256-GCM_SHA256","created_at":"2023-11-14T22:13:20.000000005Z","id":"old"}`: {Algorithm: "AES256", CreatedAt: time.Unix(1700000000, 5).UTC()},
		`{"algorithm":"XCHACHA20-POLY1305","created_at":"0001-01-01T00:00:00Z"}`:                                    {Algorithm: "ChaCha20"},
		`{}`: {},
		`{"algorithm":"\u001b[2J","created_by":"a\nb"}`: {Algorithm: `\x1b[2J`, CreatedBy: `a\nb`},
	} {
		s[0].Inject("", 1, kestest.Answer(200, "application/json", answer))
		want.Name = "key-3"
		if info, err := b.DescribeKey(t.Context(), "key-3"); err != nil || info != want {
			t.Errorf("%s: %+v, %v", answer, info, err)
		}
	}
}

func TestVersion(t *testing.T) {
	b, s := start(t, 2, kestest.Options{})
	s[0].Inject("", -1, kestest.Drop)
	if v, err := b.Version(t.Context()); err != nil || v != "kestest" {
		t.Errorf("%q, %v", v, err)
	}
}

// TestStatus: every server is asked, and one that is well is enough.
func TestStatus(t *testing.T) {
	b, s := start(t, 3, kestest.Options{})
	s[0].Inject("", -1, kestest.Status(500, "down"))
	s[1].Inject("", -1, kestest.Answer(200, "application/json", `{"version":"v1","uptime":90,"keystore_latency":7,"keystore_unreachable":true}`))
	status, err := b.Status(t.Context())
	if err != nil || status.Backend != "kes" || status.Version != "v1" || status.Uptime != 90*time.Second || status.KeyStoreLatency != 7*time.Millisecond || !status.KeyStoreUnreachable {
		t.Errorf("%+v, %v", status, err)
	}
	if len(status.Endpoints) != 3 {
		t.Fatalf("%d endpoints", len(status.Endpoints))
	}
	for i, e := range status.Endpoints {
		if e.Address != s[i].URL || e.Version != []string{"", "v1", "kestest"}[i] || errors.Is(e.Err, kms.ErrUnreachable) != (i == 0) {
			t.Errorf("%d: %+v", i, e)
		}
	}
	if got := counts(s); !slices.Equal(got, []int{1, 1, 1}) {
		t.Errorf("requests: %v", got)
	}
	for _, s := range s[1:] {
		s.Heal()
		s.Inject("", -1, kestest.Drop)
	}
	status, err = b.Status(t.Context())
	if !errors.Is(err, kms.ErrUnreachable) || len(status.Endpoints) != 3 || !strings.Contains(err.Error(), s[0].URL) {
		t.Errorf("all down: %+v, %v", status, err)
	}
}

// TestStatusTolerates both generations (KES spec section 1.6).
func TestStatusTolerates(t *testing.T) {
	b, s := start(t, 1, kestest.Options{})
	for answer, want := range map[string]kms.Status{
		`{"keystore_unavailable":true}`:                             {KeyStoreUnreachable: true},
		`{"keystore_unreachable":true,"keystore_unavailable":true}`: {KeyStoreUnreachable: true},
		`{"keystore_latency":1,"unknown":[1]}`:                      {KeyStoreLatency: time.Millisecond},
		`{}`:                                                        {},
	} {
		s[0].Inject("", 1, kestest.Answer(200, "application/json", answer))
		got, err := b.Status(t.Context())
		if err != nil || got.KeyStoreUnreachable != want.KeyStoreUnreachable || got.KeyStoreLatency != want.KeyStoreLatency {
			t.Errorf("%s: %+v, %v", answer, got, err)
		}
	}
}

// TestStatusNotPermitted: few policies allow it, and the server is well.
func TestStatusNotPermitted(t *testing.T) {
	_, s := start(t, 1, kestest.Options{})
	status, err := s[0].BackendOf(kes.NewAPIKey(), nil).Status(t.Context())
	if err != nil || status.Version != "kestest" || status.Endpoints[0].Err != nil {
		t.Errorf("%+v, %v", status, err)
	}
}

func TestNewCallsNobody(t *testing.T) {
	_, s := start(t, 1, kestest.Options{})
	b := s[0].Backend(nil)
	if err := b.Close(); err != nil || s[0].Count("") != 0 {
		t.Errorf("%d requests, %v", s[0].Count(""), err)
	}
	if _, err := b.GenerateKey(t.Context(), "key-1", nil); err != nil {
		t.Errorf("after Close: %v", err)
	}
}

func Example() {
	server := kestest.NewServer() // in production: kes.New(endpoints, creds, nil)
	defer server.Close()
	backend := server.Backend(&kes.Options{DefaultKeyID: "app-1"})
	ctx := context.Background()
	if err := backend.CreateKey(ctx, "app-1"); err != nil {
		log.Fatal(err)
	}

	client := kms.NewClient(backend, nil)
	object := kms.AssociatedData{"bucket": "bucket/object"}
	key, err := client.GenerateKey(ctx, "", object)
	if err != nil {
		log.Fatal(err)
	}
	opened, err := client.Decrypt(ctx, key.KeyID, key.Ciphertext, object)
	fmt.Println(key.KeyID, opened.Equal(key.Key), err)
	_, err = client.Decrypt(ctx, key.KeyID, key.Ciphertext, nil)
	fmt.Println(errors.Is(err, kms.ErrNotAuthentic))
	// Output:
	// app-1 true <nil>
	// true
}

func ExampleParseAPIKey() {
	key, err := kes.ParseAPIKey("kes:v1:AAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f")
	fmt.Println(key, err)
	fmt.Println(key.Identity())
	// Output:
	// [redacted] <nil>
	// a050837d85070582ccf7394b0988847cc312cb88259b894899f6f239cf1791a5
}
