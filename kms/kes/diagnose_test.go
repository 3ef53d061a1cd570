package kes_test

import (
	"crypto/x509"
	"errors"
	"net"
	"strings"
	"testing"

	"github.com/objseal/objseal/kms"
	"github.com/objseal/objseal/kms/kes"
	"github.com/objseal/objseal/kms/kes/kestest"
)

// TestDiagnose: each way to a server ends where it does, and says so.
func TestDiagnose(t *testing.T) {
	t.Parallel()
	_, s := start(t, 1, kestest.Options{})
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	urls := []string{
		s[0].URL,
		strings.Replace(s[0].URL, "127.0.0.1", "localhost", 1),
		deadURL(t),
		"https://" + silent.Addr().String(),
		"https://a..b",
	}
	b, err := kes.New(urls, s[0].Admin, &kes.Options{RootCAs: s[0].CAs(), TryTimeout: tryTimeout})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	found := make(map[string]kes.Diagnosis)
	for _, d := range b.Diagnose(t.Context()) {
		found[d.Endpoint] = d
	}
	if d := found[urls[0]]; d.ResolveErr != nil || d.ConnectErr != nil || d.TLSErr != nil || d.Address != "127.0.0.1" || d.TLSVersion != "TLS 1.3" || d.Protocol != "h2" || d.Certificate == nil {
		t.Errorf("a good server: %+v", d)
	}
	if d := found[urls[1]]; !errors.As(d.TLSErr, new(x509.HostnameError)) || d.Certificate == nil || !d.Certificate.Equal(s[0].Certificate()) {
		t.Errorf("another name: %+v", d)
	}
	if d := found[urls[2]]; d.ConnectErr == nil || d.ResolveErr != nil || d.TLSErr != nil {
		t.Errorf("nobody listens: %+v", d)
	}
	if d := found[urls[3]]; d.ConnectErr != nil || !errors.Is(d.TLSErr, kms.ErrUnreachable) {
		t.Errorf("hangs: %+v", d)
	}
	if d := found[urls[4]]; d.ResolveErr == nil || d.Addresses != nil {
		t.Errorf("a name that none can have: %+v", d)
	}
	if s[0].Count("") != 0 {
		t.Error("a request was made")
	}
}

// TestEach: a Backend for one server asks that one only, and what it learns of
// it counts for all.
func TestEach(t *testing.T) {
	b, s := start(t, 2, kestest.Options{})
	if urls := b.Endpoints(); len(urls) != 2 || urls[0] != s[0].URL || urls[1] != s[1].URL {
		t.Fatalf("%v", urls)
	}
	each := b.Each()
	s[0].Inject("", 1, kestest.Status(500, ""))
	if _, err := each[0].GenerateKey(t.Context(), "key-1", nil); !errors.Is(err, kms.ErrUnreachable) || s[1].Count("") != 0 {
		t.Errorf("%v, %v", err, counts(s))
	}
	if _, err := b.GenerateKey(t.Context(), "key-1", nil); err != nil || s[0].Count("") != 1 {
		t.Errorf("%v, %v: the first server was not put off", err, counts(s))
	}
	if _, err := each[1].GenerateKey(t.Context(), "key-1", nil); err != nil || s[1].Count("") != 2 {
		t.Errorf("%v, %v", err, counts(s))
	}
	if b.Expiry() != nil || !b.NotAfter().IsZero() {
		t.Error("an API key expires")
	}
}
