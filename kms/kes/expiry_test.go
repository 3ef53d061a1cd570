package kes_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/objseal/objseal/kms"
	"github.com/objseal/objseal/kms/kes"
	"github.com/objseal/objseal/kms/kes/kestest"
)

// issued are credentials with a certificate that is good until some time.
type issued struct{ pair tls.Certificate }

func (i *issued) Identity() string                       { return kes.Identity(i.pair.Leaf) }
func (i *issued) NotAfter() time.Time                    { return i.pair.Leaf.NotAfter }
func (i *issued) Certificate() (*tls.Certificate, error) { return &i.pair, nil }

func issue(t *testing.T, notAfter time.Time) *issued {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "client until " + notAfter.String()}, NotBefore: notAfter.Add(-1000 * day), NotAfter: notAfter,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, private)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &issued{tls.Certificate{Certificate: [][]byte{der}, PrivateKey: private, Leaf: leaf}}
}

const day = 24 * time.Hour

func TestCheckExpiry(t *testing.T) {
	now := time.Now().Truncate(time.Second)
	for left, want := range map[time.Duration]error{
		365 * day: nil, 30*day + time.Second: nil,
		30 * day: kes.ErrCertificateExpires, time.Second: kes.ErrCertificateExpires,
		0: kes.ErrCertificateExpired, -day: kes.ErrCertificateExpired,
	} {
		c := issue(t, now.Add(left))
		err := kes.CheckExpiry(c, now)
		if want == nil {
			if err != nil {
				t.Errorf("%v left: %v", left, err)
			}
			continue
		}
		var e *kes.ExpiryError
		if !errors.Is(err, want) || !errors.As(err, &e) || !e.NotAfter.Equal(c.NotAfter()) || !strings.Contains(err.Error(), c.Identity()) || !strings.Contains(err.Error(), e.NotAfter.UTC().Format(time.DateOnly)) {
			t.Errorf("%v left: %v, want %v", left, err, want)
		}
	}
	if err := kes.CheckExpiry(kes.NewAPIKey(), now.AddDate(100, 0, 0)); err != nil {
		t.Errorf("an API key: %v", err)
	}
}

// TestOnExpiry: each step is told once for a certificate, however many calls
// there are.
func TestOnExpiry(t *testing.T) {
	now := time.Now()
	var told []time.Duration
	c := issue(t, now.Add(100*day))
	end := c.NotAfter()
	b, err := kes.New([]string{"https://127.0.0.1:1"}, c, &kes.Options{OnExpiry: func(e *kes.ExpiryError) {
		told = append(told, e.NotAfter.Sub(end))
	}})
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		left time.Duration
		want int
	}{
		{99 * day, 0}, {31 * day, 0}, {30 * day, 1}, {29 * day, 1}, {8 * day, 1}, {7 * day, 2}, {2 * day, 2}, {5 * time.Hour, 3}, {-time.Hour, 4}, {-50 * day, 4},
	} {
		for range 3 {
			b.LookAtExpiry(end.Add(-step.left))
		}
		if len(told) != step.want {
			t.Errorf("%v left: told %d times, want %d", step.left, len(told), step.want)
		}
	}
	*c = *issue(t, end.Add(100*day)) // renewed
	b.LookAtExpiry(end)
	b.LookAtExpiry(end.Add(80 * day))
	if len(told) != 5 || told[4] != 100*day {
		t.Errorf("after the renewal: %v", told)
	}
}

// TestOnExpiryOfCalls: any call looks, and not every one.
func TestOnExpiryOfCalls(t *testing.T) {
	_, s := start(t, 1, kestest.Options{})
	told := 0
	b := s[0].BackendOf(issue(t, time.Now().Add(day)), &kes.Options{OnExpiry: func(*kes.ExpiryError) { told++ }})
	for range 5 {
		b.GenerateKey(t.Context(), "key-1", nil)
	}
	if told != 1 {
		t.Errorf("told %d times", told)
	}
}

// TestStatusOfCertificate: who asks and until when is in the status, also if no
// server answers.
func TestStatusOfCertificate(t *testing.T) {
	_, s := start(t, 1, kestest.Options{})
	for left, want := range map[time.Duration]error{400 * day: nil, 10 * day: kes.ErrCertificateExpires, -day: kes.ErrCertificateExpired} {
		c := issue(t, time.Now().Add(left))
		for _, fault := range []kestest.Fault{nil, kestest.Drop} {
			s[0].Heal()
			if fault != nil {
				s[0].Inject("", -1, fault)
			}
			status, _ := s[0].BackendOf(c, nil).Status(t.Context())
			if status.Identity != c.Identity() || !status.NotAfter.Equal(c.NotAfter()) || !errors.Is(status.Warning, want) {
				t.Errorf("%v left: %+v", left, status)
			}
		}
	}
	status, err := s[0].Backend(nil).Status(t.Context())
	if _, ok := status.Warning.(*kes.ExpiryError); ok || err == nil && status.Warning != nil || !status.NotAfter.IsZero() {
		t.Errorf("an API key: %+v", status)
	}
}

// TestExpiredIsTold: a server that verifies certificates refuses one that has
// expired, and the error says that this is why; it does not guess.
func TestExpiredIsTold(t *testing.T) {
	expired, good := issue(t, time.Now().Add(-day)), issue(t, time.Now().Add(100*day))
	pool := x509.NewCertPool()
	pool.AddCert(expired.pair.Leaf)
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		for what, test := range map[string]struct {
			auth  tls.ClientAuthType
			pool  *x509.CertPool
			creds kes.Credentials
			want  bool
		}{
			"expired":                   {tls.RequireAndVerifyClientCert, pool, expired, true},
			"expired, and of no CA":     {tls.RequireAndVerifyClientCert, x509.NewCertPool(), expired, true},
			"of no CA":                  {tls.RequireAndVerifyClientCert, pool, good, false},
			"expired, nobody looks":     {tls.RequireAnyClientCert, nil, expired, false},
			"API key, verifying server": {tls.RequireAndVerifyClientCert, pool, kes.NewAPIKey(), false},
		} {
			s := kestest.NewServerWith(kestest.Options{ClientAuth: test.auth, ClientCAs: test.pool, MaxTLS: version})
			defer s.Close()
			_, err := s.BackendOf(test.creds, nil).GenerateKey(t.Context(), "key-1", nil)
			if !errors.Is(err, kms.ErrNotPermitted) || errors.Is(err, kes.ErrCertificateExpired) != test.want || strings.Contains(err.Error(), "expired") != test.want {
				t.Errorf("%s, %s: %v", tls.VersionName(version), what, err)
			}
		}
	}
}
