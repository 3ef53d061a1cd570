package kes_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/objseal/objseal/kms"
	"github.com/objseal/objseal/kms/kes"
	"github.com/objseal/objseal/kms/kes/kestest"
)

// calls makes every operation once.
var calls = map[string]func(ctx context.Context, b *kes.Backend) error{
	"generate": func(ctx context.Context, b *kes.Backend) error {
		g, err := b.GenerateKey(ctx, "key-1", nil)
		return orKey(err, g.Key)
	},
	"decrypt": func(ctx context.Context, b *kes.Backend) error {
		key, err := b.Decrypt(ctx, "key-1", []byte("ciphertext"), nil)
		return orKey(err, key)
	},
	"encrypt": func(ctx context.Context, b *kes.Backend) error {
		_, err := b.Encrypt(ctx, "key-1", nil, nil)
		return err
	},
	"create":   func(ctx context.Context, b *kes.Backend) error { return b.CreateKey(ctx, "key-1") },
	"describe": func(ctx context.Context, b *kes.Backend) error { _, err := b.DescribeKey(ctx, "key-1"); return err },
	"list":     func(ctx context.Context, b *kes.Backend) error { _, err := b.ListKeys(ctx, ""); return err },
	"status":   func(ctx context.Context, b *kes.Backend) error { _, err := b.Status(ctx); return err },
	"version":  func(ctx context.Context, b *kes.Backend) error { _, err := b.Version(ctx); return err },
	"import": func(ctx context.Context, b *kes.Backend) error {
		return b.ImportKey(ctx, "key-9", make([]byte, 32), "")
	},
	"delete": func(ctx context.Context, b *kes.Backend) error { return b.DeleteKey(ctx, "key-1") },
	"hmac": func(ctx context.Context, b *kes.Backend) error {
		return second(b.HMAC(ctx, "key-1", []byte("message")))
	},
	"ready":   func(ctx context.Context, b *kes.Backend) error { return b.Ready(ctx) },
	"apis":    func(ctx context.Context, b *kes.Backend) error { return second(b.APIs(ctx)) },
	"metrics": func(ctx context.Context, b *kes.Backend) error { return second(b.Metrics(ctx)) },

	"describe policy":   func(ctx context.Context, b *kes.Backend) error { return second(b.DescribePolicy(ctx, "policy-1")) },
	"read policy":       func(ctx context.Context, b *kes.Backend) error { return second(b.ReadPolicy(ctx, "policy-1")) },
	"list policies":     func(ctx context.Context, b *kes.Backend) error { return second(b.ListPolicies(ctx, "")) },
	"describe identity": func(ctx context.Context, b *kes.Backend) error { return second(b.DescribeIdentity(ctx, "identity-1")) },
	"list identities":   func(ctx context.Context, b *kes.Backend) error { return second(b.ListIdentities(ctx, "")) },
	"describe self":     func(ctx context.Context, b *kes.Backend) error { _, _, err := b.DescribeSelf(ctx); return err },
	"audit log":         func(ctx context.Context, b *kes.Backend) error { return firstOf(b.AuditLog(ctx)) },
	"error log":         func(ctx context.Context, b *kes.Backend) error { return firstOf(b.ErrorLog(ctx)) },
}

// firstOf returns the first error of a log.
func firstOf[T any](log iter.Seq2[T, error]) error {
	for _, err := range log {
		if err != nil {
			return err
		}
	}
	return nil
}

// orKey lets no key pass beside an error.
func orKey(err error, key kms.DataKey) error {
	if err != nil && !key.IsZero() {
		return errors.New("a key beside an error")
	}
	return err
}

var kinds = []error{kms.ErrKeyNotFound, kms.ErrKeyExists, kms.ErrNotAuthentic, kms.ErrUnreachable, kms.ErrNotPermitted, kms.ErrUnsupported, kms.ErrInvalidKeyID, kms.ErrKeySize,
	kes.ErrKeyStore, kes.ErrPolicyNotFound, kes.ErrIdentityNotFound}

// TestErrorKinds is the whole table: every operation, every status, in KES's
// form and not. The texts say something else on purpose.
func TestErrorKinds(t *testing.T) {
	onlyKES := func(kind error, kes bool) error {
		if kes {
			return kind
		}
		return nil
	}
	for op, call := range calls {
		notFound := map[string]error{"generate": kms.ErrKeyNotFound, "decrypt": kms.ErrKeyNotFound, "encrypt": kms.ErrKeyNotFound,
			"describe": kms.ErrKeyNotFound, "delete": kms.ErrKeyNotFound, "hmac": kms.ErrKeyNotFound,
			"describe policy": kes.ErrPolicyNotFound, "read policy": kes.ErrPolicyNotFound,
			"describe identity": kes.ErrIdentityNotFound, "describe self": kes.ErrIdentityNotFound}[op]
		for _, isKES := range []bool{true, false} {
			want := map[int]error{
				301: nil, 400: nil, 401: kms.ErrNotPermitted, 403: kms.ErrNotPermitted, 404: nil, 405: kms.ErrUnsupported, 406: nil, 409: nil, 413: nil, 429: nil,
				500: kms.ErrUnreachable, 501: kms.ErrUnsupported, 502: kms.ErrUnreachable, 503: kms.ErrUnreachable, 504: kms.ErrUnreachable, 599: kms.ErrUnreachable,
			}
			switch {
			case !isKES:
				want[404] = kms.ErrUnsupported
			default:
				want[404] = notFound
			}
			switch op {
			case "create", "import":
				want[400] = onlyKES(kms.ErrKeyExists, isKES)
			case "decrypt":
				want[400] = onlyKES(kms.ErrNotAuthentic, isKES)
			case "hmac":
				want[409] = kms.ErrUnsupported
			}
			if op == "import" {
				want[406] = kms.ErrUnsupported
			}
			b, s := start(t, 1, kestest.Options{})
			for status, kind := range want {
				t.Run(fmt.Sprintf("%s/%d/kes=%v", op, status, isKES), func(t *testing.T) {
					const text = "key does not exist: not authorized"
					fault := kestest.Status(status, text)
					if !isKES {
						fault = kestest.Answer(status, "text/plain", text)
					}
					s[0].Heal()
					s[0].Inject("", -1, fault)
					err := call(t.Context(), b)
					var response *kes.ResponseError
					if !errors.As(err, &response) || response.Status != status || response.Message != text || response.Endpoint != s[0].URL {
						t.Fatalf("%v: %+v", err, response)
					}
					for _, k := range kinds {
						expected := k == kind || k == kes.ErrKeyStore && isKES && (status == 502 || status == 504)
						if errors.Is(err, k) != expected {
							t.Errorf("%v: is %v: %v", err, k, !expected)
						}
					}
				})
			}
		}
	}
}

// TestRealErrors asks a real handler rather than a fault.
func TestRealErrors(t *testing.T) {
	b, s := start(t, 1, kestest.Options{})
	client := kms.NewClient(b, nil)
	g, err := client.GenerateKey(t.Context(), "key-1", nil)
	if err != nil {
		t.Fatal(err)
	}
	stranger := kms.NewClient(s[0].BackendOf(kes.NewAPIKey(), nil), nil)
	for what, test := range map[string]struct {
		call func() error
		kind error
	}{
		"missing key":     {func() error { _, err := client.GenerateKey(t.Context(), "key-9", nil); return err }, kms.ErrKeyNotFound},
		"create twice":    {func() error { return client.CreateKey(t.Context(), "key-1") }, kms.ErrKeyExists},
		"other key":       {func() error { _, err := client.Decrypt(t.Context(), "key-2", g.Ciphertext, nil); return err }, kms.ErrNotAuthentic},
		"bad name":        {func() error { _, err := client.GenerateKey(t.Context(), "../key-1", nil); return err }, kms.ErrInvalidKeyID},
		"no default":      {func() error { _, err := client.GenerateKey(t.Context(), "", nil); return err }, kms.ErrInvalidKeyID},
		"create no name":  {func() error { return client.CreateKey(t.Context(), "") }, kms.ErrInvalidKeyID},
		"stranger":        {func() error { _, err := stranger.GenerateKey(t.Context(), "key-1", nil); return err }, kms.ErrNotPermitted},
		"stranger's list": {func() error { _, err := stranger.ListKeys(t.Context(), ""); return err }, kms.ErrNotPermitted},
	} {
		err := test.call()
		if !errors.Is(err, test.kind) || !errors.As(err, new(*kms.Error)) {
			t.Errorf("%s: %v, want %v", what, err, test.kind)
		}
	}
}

// TestNotPermittedMessage: it says what to put in which policy.
func TestNotPermittedMessage(t *testing.T) {
	_, s := start(t, 1, kestest.Options{})
	somebody := kes.NewAPIKey()
	_, err := s[0].BackendOf(somebody, nil).GenerateKey(t.Context(), "key-1", nil)
	for _, part := range []string{"not permitted", somebody.Identity(), "/v1/key/generate/key-1", s[0].URL, "403"} {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("%v: %q is not in it", err, part)
		}
	}
}

// TestHostileMessages: what a server says stays short and on one line.
func TestHostileMessages(t *testing.T) {
	for what, fault := range map[string]kestest.Fault{
		"control characters": kestest.Status(400, "a\x1b[2J\r\nfake: line\x00\u202e\u0085"),
		"long":               kestest.Status(400, strings.Repeat("long ", 100_000)),
		"long text":          kestest.Answer(500, "text/plain", strings.Repeat("long\n", 100_000)),
		"not UTF-8":          kestest.Answer(502, "text/plain", "\xff\xfe\x80"),
		"deep JSON":          kestest.Answer(400, "application/json", strings.Repeat("[", 60_000)),
		"error field":        kestest.Answer(400, "application/json", `{"error":"\u001b[2J","message":"other"}`),
		"not a string":       kestest.Answer(400, "application/json", `{"message":{"a":1}}`),
		"empty":              kestest.Answer(400, "application/json", ""),
	} {
		t.Run(what, func(t *testing.T) {
			b, s := start(t, 1, kestest.Options{})
			s[0].Inject("", -1, fault)
			_, err := b.GenerateKey(t.Context(), "key-1", nil)
			if err == nil {
				t.Fatal("no error")
			}
			var response *kes.ResponseError
			if !errors.As(err, &response) {
				t.Fatal(err)
			}
			for _, text := range []string{err.Error(), response.Message} {
				if len(text) > 1000 || !utf8.ValidString(text) || strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) {
					t.Errorf("%d bytes: %q", len(text), text)
				}
			}
		})
	}
}

// TestErrorFieldWins is for servers of before 2023 (KES spec section 1.5).
func TestErrorFieldWins(t *testing.T) {
	b, s := start(t, 1, kestest.Options{})
	s[0].Inject("", -1, kestest.Answer(404, "application/json", `{"message":"this","error":"that"}`))
	_, err := b.DescribeKey(t.Context(), "key-1")
	var response *kes.ResponseError
	if !errors.As(err, &response) || response.Message != "that" || !errors.Is(err, kms.ErrKeyNotFound) {
		t.Errorf("%v", err)
	}
}

// TestBadAnswers: success that is none.
func TestBadAnswers(t *testing.T) {
	for what, test := range map[string]struct {
		fault kestest.Fault
		kind  error
		op    []string
	}{
		"empty":                      {kestest.EmptyAnswer, kms.ErrUnreachable, []string{"generate", "decrypt", "encrypt", "describe", "list", "status", "version", "describe policy", "read policy", "list policies", "describe identity", "list identities", "describe self", "hmac", "apis"}},
		"cut":                        {kestest.CutBody, kms.ErrUnreachable, []string{"generate", "describe", "list", "status", "version"}},
		"array":                      {kestest.Answer(200, "application/json", "[1,2]"), kms.ErrUnreachable, []string{"generate", "decrypt", "encrypt", "describe", "list", "status", "version", "describe policy", "read policy", "list policies", "describe identity", "list identities", "describe self", "hmac", "apis"}},
		"HTML":                       {kestest.Answer(200, "text/html", "<html>"), kms.ErrUnreachable, []string{"generate", "decrypt", "encrypt", "describe", "list", "status", "version", "describe policy", "read policy", "list policies", "describe identity", "list identities", "describe self", "hmac", "apis"}},
		"bad base64":                 {kestest.Answer(200, "application/json", `{"plaintext":"%%","ciphertext":"%%"}`), kms.ErrUnreachable, []string{"generate", "decrypt", "encrypt"}},
		"numbers":                    {kestest.Answer(200, "application/json", `{"plaintext":1,"ciphertext":2,"algorithm":3,"names":4,"version":5}`), kms.ErrUnreachable, []string{"generate", "decrypt", "encrypt", "describe", "list", "status", "version"}},
		"two megabytes":              {kestest.Answer(200, "application/json", `{"plaintext":"`+strings.Repeat("A", 2<<20)+`"}`), kms.ErrUnreachable, []string{"generate", "decrypt", "encrypt", "describe", "status", "version"}},
		"no HMAC":                    {kestest.Answer(200, "application/json", `{"hmac":"AAAA"}`), kms.ErrUnreachable, []string{"hmac"}},
		"five megabytes":             {kestest.Answer(200, "text/plain", strings.Repeat("a 1\n", 5<<18)), kms.ErrUnreachable, []string{"metrics"}},
		"odd policy":                 {kestest.Answer(200, "application/json", `{"policy":[1]}`), kms.ErrUnreachable, []string{"describe identity", "describe self"}},
		"31 bytes":                   {kestest.PlaintextOf(31), kms.ErrKeySize, []string{"generate", "decrypt"}},
		"33 bytes":                   {kestest.PlaintextOf(33), kms.ErrKeySize, []string{"generate", "decrypt"}},
		"no plaintext":               {kestest.Answer(200, "application/json", `{"ciphertext":"AAAA"}`), kms.ErrKeySize, []string{"generate", "decrypt"}},
		"null plaintext":             {kestest.Answer(200, "application/json", `{"plaintext":null}`), kms.ErrKeySize, []string{"generate", "decrypt"}},
		"no ciphertext":              {kestest.Answer(200, "application/json", `{"plaintext":"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="}`), kms.ErrUnreachable, []string{"generate", "encrypt"}},
		"redirect to another server": {redirectTo("https://127.0.0.1:1/v1/key/list/"), nil, []string{"generate", "list", "describe"}},
		"redirect without end":       {redirectTo(""), nil, []string{"list", "describe", "status"}},
		"redirect to plain text":     {redirectTo("http://127.0.0.1:1/"), nil, []string{"list"}},
	} {
		for _, op := range test.op {
			t.Run(what+"/"+op, func(t *testing.T) {
				b, s := start(t, 1, kestest.Options{})
				s[0].Inject("", -1, test.fault)
				err := calls[op](t.Context(), b)
				if err == nil || test.kind != nil && !errors.Is(err, test.kind) {
					t.Errorf("%v, want %v", err, test.kind)
				}
				if err != nil && (!strings.Contains(err.Error(), s[0].URL) || len(err.Error()) > 1000) {
					t.Errorf("%d bytes, or without the server: %.200v", len(err.Error()), err)
				}
			})
		}
	}
}

func redirectTo(url string) kestest.Fault {
	return func(w http.ResponseWriter, r *http.Request, _ *kestest.Server) {
		to := url
		if to == "" {
			to = r.URL.Path
		}
		http.Redirect(w, r, to, http.StatusTemporaryRedirect)
	}
}

// TestRedirects: no other server learns anything, and no body goes twice.
func TestRedirects(t *testing.T) {
	for op, call := range calls {
		for _, status := range []int{301, 302, 303, 307, 308} {
			b, s := start(t, 1, kestest.Options{})
			other := kestest.NewServerWith(kestest.Options{Admin: s[0].Admin, KeyStore: s[0].Keys})
			defer other.Close()
			s[0].Inject("", -1, func(w http.ResponseWriter, r *http.Request, _ *kestest.Server) {
				http.Redirect(w, r, other.URL+r.URL.Path, status)
			})
			var response *kes.ResponseError
			if err := call(t.Context(), b); !errors.As(err, &response) || response.Status != status || other.Count("") != 0 {
				t.Errorf("%s: %d to another server: %v, %d requests there", op, status, err, other.Count(""))
			}
			before := s[0].Count("")
			s[0].Heal()
			s[0].Inject("", 1, func(w http.ResponseWriter, r *http.Request, _ *kestest.Server) {
				http.Redirect(w, r, r.URL.Path, status)
			})
			s[0].Inject("", -1, kestest.Status(418, "no redirect"))
			err := call(t.Context(), b)
			want, said := 2, 418
			if s[0].Requests("")[before].Method != http.MethodGet {
				want, said = 1, status
			}
			if got := s[0].Count("") - before; got != want || !errors.As(err, &response) || response.Status != said {
				t.Errorf("%s: %d to the same server: %v, %d requests, want %d", op, status, err, got, want)
			}
		}
	}
}

// withCertificate are credentials with any certificate, or none.
type withCertificate struct {
	kes.Credentials
	pair *tls.Certificate
}

func (c withCertificate) Certificate() (*tls.Certificate, error) { return c.pair, nil }

// TestTLSFailures: what went wrong is told apart by type, and said.
func TestTLSFailures(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		s := kestest.NewServerWith(kestest.Options{MaxTLS: version})
		defer s.Close()
		verifying := kestest.NewServerWith(kestest.Options{MaxTLS: version, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: x509.NewCertPool()})
		defer verifying.Close()
		other := strings.Replace(s.URL, "127.0.0.1", "localhost", 1)
		// TLS 1.2 has one alert for everything here (KES spec section 2.1).
		noCertificate, saysNoCertificate := kms.ErrUnreachable, "handshake failure"
		if version == tls.VersionTLS13 {
			noCertificate, saysNoCertificate = kms.ErrNotPermitted, "does not accept the client certificate"
		}
		for what, test := range map[string]struct {
			url   string
			roots *x509.CertPool
			creds kes.Credentials
			kind  error
			as    any
			says  string
		}{
			"unknown CA":                   {s.URL, x509.NewCertPool(), s.Admin, kms.ErrUnreachable, new(x509.UnknownAuthorityError), "CA must be given"},
			"system CAs":                   {s.URL, nil, s.Admin, kms.ErrUnreachable, new(x509.UnknownAuthorityError), "CA must be given"},
			"other name":                   {other, s.CAs(), s.Admin, kms.ErrUnreachable, new(x509.HostnameError), "another name"},
			"no client certificate":        {s.URL, s.CAs(), withCertificate{s.Admin, new(tls.Certificate)}, noCertificate, new(*kes.NetworkError), saysNoCertificate},
			"client certificate not of CA": {verifying.URL, verifying.CAs(), verifying.Admin, kms.ErrNotPermitted, new(*kes.NetworkError), "does not accept the client certificate of identity " + verifying.Admin.Identity()},
		} {
			t.Run(tls.VersionName(version)+"/"+what, func(t *testing.T) {
				b, err := kes.New([]string{test.url}, test.creds, &kes.Options{RootCAs: test.roots})
				if err != nil {
					t.Fatal(err)
				}
				defer b.Close()
				_, err = b.GenerateKey(t.Context(), "key-1", nil)
				if !errors.Is(err, test.kind) || !errors.As(err, test.as) || !strings.Contains(err.Error(), test.says) || !strings.Contains(err.Error(), test.url) {
					t.Errorf("%v", err)
				}
			})
		}
		if s.Count("")+verifying.Count("") != 0 {
			t.Error("a request got through")
		}
	}
}

// TestOldServerWithoutCertificate: servers of 2023 refuse by an answer.
func TestOldServerWithoutCertificate(t *testing.T) {
	s := kestest.NewServerWith(kestest.Options{ClientAuth: tls.RequestClientCert})
	defer s.Close()
	b := s.BackendOf(withCertificate{s.Admin, new(tls.Certificate)}, nil)
	if _, err := b.Version(t.Context()); err != nil {
		t.Errorf("Version: %v", err)
	}
	var response *kes.ResponseError
	if _, err := b.GenerateKey(t.Context(), "key-1", nil); !errors.As(err, &response) || response.Status != 400 || response.Message != "tls: client certificate is required" {
		t.Errorf("GenerateKey: %v", err)
	}
}

// TestNothingIsSentForBadNames: they never become part of a URL.
func TestNothingIsSentForBadNames(t *testing.T) {
	b, s := start(t, 1, kestest.Options{})
	for _, name := range []string{"", "a/b", "..", "a?b", "a%2fb", "-a", "a-", "_", "é", "a\n", strings.Repeat("a", 81)} {
		for what, err := range map[string]error{
			"create":   b.CreateKey(t.Context(), name),
			"describe": second(b.DescribeKey(t.Context(), name)),
			"generate": second(b.GenerateKey(t.Context(), name, nil)),
			"decrypt":  second(b.Decrypt(t.Context(), name, []byte("x"), nil)),
			"encrypt":  second(b.Encrypt(t.Context(), name, nil, nil)),
			"import":   b.ImportKey(t.Context(), name, make([]byte, 32), ""),
			"delete":   b.DeleteKey(t.Context(), name),
			"hmac":     second(b.HMAC(t.Context(), name, nil)),
			"policy":   second(b.ReadPolicy(t.Context(), name)),
			"policy 2": second(b.DescribePolicy(t.Context(), name)),
			"identity": second(b.DescribeIdentity(t.Context(), name)),
		} {
			if !errors.Is(err, kms.ErrInvalidKeyID) {
				t.Errorf("%s %q: %v", what, name, err)
			}
		}
		if name != "" && name != "a-" && name != "_" && len(name) < 81 {
			if _, err := b.ListKeys(t.Context(), name); !errors.Is(err, kms.ErrInvalidKeyID) {
				t.Errorf("list %q: %v", name, err)
			}
		}
	}
	if n := s[0].Count(""); n != 0 {
		t.Errorf("%d requests", n)
	}
}

func second[T any](_ T, err error) error { return err }

func TestRequestTooLong(t *testing.T) {
	b, s := start(t, 1, kestest.Options{})
	for n, fits := range map[int]bool{740_000: true, 750_000: false, 2_000_000: false} {
		sealed, err := b.Encrypt(t.Context(), "key-1", make([]byte, n), nil)
		if (err == nil) != fits || fits && len(sealed) != n+44 {
			t.Errorf("%d bytes: %d sealed, %v", n, len(sealed), err)
		}
	}
	if n := s[0].Count(""); n != 1 {
		t.Errorf("%d requests", n)
	}
}
