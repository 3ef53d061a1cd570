package keserver_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/objseal/objseal/internal/cpu"
	"github.com/objseal/objseal/internal/dek"
	"github.com/objseal/objseal/kms"
	"github.com/objseal/objseal/kms/kes"
	"github.com/objseal/objseal/kms/kes/keserver"
	"github.com/objseal/objseal/kms/kes/kestest"
)

const (
	key32  = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
	noBody = ""
)

// client is a plain HTTP client: nothing of package kes's is between.
type client struct {
	t    *testing.T
	url  string
	http *http.Client
}

func newClient(t *testing.T, s *kestest.Server, h2 bool, pair *tls.Certificate) client {
	t.Helper()
	config := &tls.Config{RootCAs: s.CAs()}
	if pair != nil {
		config.Certificates = []tls.Certificate{*pair}
	}
	transport := &http.Transport{TLSClientConfig: config, ForceAttemptHTTP2: h2}
	t.Cleanup(transport.CloseIdleConnections)
	return client{t, s.URL, &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

func admin(t *testing.T, s *kestest.Server) client {
	t.Helper()
	return newClient(t, s, true, certificateOf(t, s.Admin))
}

func certificateOf(t *testing.T, k kes.Credentials) *tls.Certificate {
	t.Helper()
	pair, err := k.Certificate()
	if err != nil {
		t.Fatal(err)
	}
	return pair
}

type answer struct {
	status int
	header http.Header
	body   string
}

func (c client) do(method, path string, body io.Reader) answer {
	c.t.Helper()
	req, err := http.NewRequestWithContext(c.t.Context(), method, c.url+path, body)
	if err != nil {
		c.t.Fatal(err)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		c.t.Fatalf("%s %s: %v", method, path, err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		c.t.Fatalf("%s %s: %v", method, path, err)
	}
	return answer{resp.StatusCode, resp.Header, string(text)}
}

func (c client) call(method, path, body string) answer {
	c.t.Helper()
	return c.do(method, path, strings.NewReader(body))
}

// fails wants an error, byte for byte.
func (c client) fails(method, path, body string, status int, message string) {
	c.t.Helper()
	a := c.call(method, path, body)
	text, err := json.Marshal(message)
	if err != nil {
		c.t.Fatal(err)
	}
	want := fmt.Sprintf("{\"message\":%s\n}", text)
	if a.status != status || a.body != want || a.header.Get("Content-Type") != "application/json" || a.header.Get("Content-Length") != fmt.Sprint(len(want)) {
		c.t.Errorf("%s %s: %d %q %v, want %d %q", method, path, a.status, a.body, a.header, status, want)
	}
}

// gives wants success, and reads the answer into v.
func (c client) gives(method, path, body string, v any) {
	c.t.Helper()
	a := c.call(method, path, body)
	if a.status != http.StatusOK {
		c.t.Fatalf("%s %s: %d %s", method, path, a.status, a.body)
	}
	if v == nil {
		if a.body != "" || a.header.Get("Content-Type") != "" || a.header.Get("Content-Length") != "0" {
			c.t.Errorf("%s %s: %q %v, want an empty answer", method, path, a.body, a.header)
		}
		return
	}
	if err := json.Unmarshal([]byte(a.body), v); err != nil || a.header.Get("Content-Type") != "application/json" || !strings.HasSuffix(a.body, "}\n") && !strings.HasSuffix(a.body, "]\n") {
		c.t.Errorf("%s %s: %q %v: %v", method, path, a.body, a.header, err)
	}
}

type message struct {
	Plaintext, Ciphertext, HMAC []byte
	Names                       []string
	ContinueAt                  string `json:"continue_at"`
}

func newServer(t *testing.T) *kestest.Server {
	t.Helper()
	s := kestest.NewServer()
	t.Cleanup(s.Close)
	return s
}

func TestKeyLifeCycle(t *testing.T) {
	s := newServer(t)
	c := admin(t, s)
	c.gives("PUT", "/v1/key/create/key-1", noBody, nil)
	c.fails("PUT", "/v1/key/create/key-1", noBody, 400, "key already exists")
	var info struct {
		Name, Algorithm string
		CreatedAt       time.Time `json:"created_at"`
		CreatedBy       string    `json:"created_by"`
	}
	c.gives("GET", "/v1/key/describe/key-1", noBody, &info)
	if info.Name != "key-1" || info.Algorithm != dek.Default().String() || time.Since(info.CreatedAt) > time.Hour || info.CreatedBy != s.Admin.Identity() {
		t.Errorf("describe: %+v", info)
	}
	var g, opened message
	c.gives("PUT", "/v1/key/generate/key-1", `{"context":"e30="}`, &g)
	if len(g.Plaintext) != 32 || len(g.Ciphertext) != 76 {
		t.Errorf("generate: %d and %d bytes", len(g.Plaintext), len(g.Ciphertext))
	}
	sealed := base64.StdEncoding.EncodeToString(g.Ciphertext)
	c.gives("PUT", "/v1/key/decrypt/key-1", `{"ciphertext":"`+sealed+`","context":"e30="}`, &opened)
	if !bytes.Equal(opened.Plaintext, g.Plaintext) {
		t.Error("decrypt gives another data key")
	}
	const notAuthentic = "decryption failed: ciphertext is not authentic"
	c.fails("PUT", "/v1/key/decrypt/key-1", `{"ciphertext":"`+sealed+`"}`, 400, notAuthentic)
	c.fails("PUT", "/v1/key/decrypt/key-1", `{"ciphertext":"`+sealed+`","context":"e317"}`, 400, notAuthentic)
	c.gives("PUT", "/v1/key/create/key-2", noBody, nil)
	c.fails("PUT", "/v1/key/decrypt/key-2", `{"ciphertext":"`+sealed+`","context":"e30="}`, 400, notAuthentic)
	c.gives("DELETE", "/v1/key/delete/key-1", noBody, nil)
	for method, path := range map[string]string{"DELETE": "delete", "GET": "describe"} {
		c.fails(method, "/v1/key/"+path+"/key-1", noBody, 404, "key does not exist")
	}
	for _, path := range []string{"generate", "encrypt", "decrypt", "hmac"} {
		c.fails("PUT", "/v1/key/"+path+"/key-1", "{}", 404, "key does not exist")
	}
}

// TestBodies is what servers take as a body and what not (KES spec sections
// 1.1 to 1.3).
func TestBodies(t *testing.T) {
	s := newServer(t)
	s.CreateKey("key-1")
	const bad = "invalid request body"
	for _, h2 := range []bool{true, false} {
		c := newClient(t, s, h2, certificateOf(t, s.Admin))
		var g message
		for _, body := range []string{"", "{}", `{"context":null}`, `{"context":""}`, "null", `{"unknown":1}`, "{} trailing", ` {"CONTEXT":""}`} {
			c.gives("PUT", "/v1/key/generate/key-1", body, &g)
			sealed := base64.StdEncoding.EncodeToString(g.Ciphertext)
			var opened message
			c.gives("POST", "/v1/key/decrypt/key-1", `{"ciphertext":"`+sealed+`"}`, &opened)
			if !bytes.Equal(opened.Plaintext, g.Plaintext) {
				t.Errorf("%q is not the empty context", body)
			}
		}
		for _, body := range []string{"x", "[]", "1", `{"context":"e30"}`, `{"context":"_-8="}`, `{"context":1}`, "{", " "} {
			c.fails("PUT", "/v1/key/generate/key-1", body, 400, bad)
		}
		for _, path := range []string{"encrypt", "decrypt", "hmac"} {
			for _, body := range []string{"", "x", "[]", `{"plaintext":"%","ciphertext":"%","message":"%"}`} {
				c.fails("PUT", "/v1/key/"+path+"/key-1", body, 400, bad)
			}
		}
		for _, body := range []string{"{}", `{"ciphertext":""}`, `{"ciphertext":"AAAA"}`, `{"ciphertext":"` + strings.Repeat("A", 4000) + `"}`} {
			c.fails("PUT", "/v1/key/decrypt/key-1", body, 400, "decryption failed: ciphertext is not authentic")
		}

		// Of unknown length.
		unknown := func(text string) io.Reader { return struct{ io.Reader }{strings.NewReader(text)} }
		if a := c.do("POST", "/v1/key/generate/key-1", unknown(`{"context":"e30="}`)); a.status != 200 {
			t.Errorf("HTTP/2 %v, unknown length: %d %s", h2, a.status, a.body)
		}
		if a := c.do("POST", "/v1/key/generate/key-1", unknown("")); a.status != 400 || !strings.Contains(a.body, bad) {
			t.Errorf("HTTP/2 %v, unknown length, empty: %d %s", h2, a.status, a.body)
		}

		// Of the greatest length.
		for n, status := range map[int]int{1_000_000: 200, 1_000_001: 400} {
			body := `{"context":""` + strings.Repeat(" ", n-len(`{"context":""}`)) + "}"
			for _, r := range []io.Reader{strings.NewReader(body), unknown(body)} {
				if a := c.do("PUT", "/v1/key/generate/key-1", r); a.status != status {
					t.Errorf("%d bytes: %d %s", n, a.status, a.body)
				}
			}
		}
		// Where none is read.
		c.gives("GET", "/version", "not JSON", &struct{}{})
	}
}

func TestEmptyPlaintext(t *testing.T) {
	s := newServer(t)
	s.CreateKey("key-1")
	c := admin(t, s)
	var sealed message
	c.gives("PUT", "/v1/key/encrypt/key-1", "{}", &sealed)
	a := c.call("PUT", "/v1/key/decrypt/key-1", `{"ciphertext":"`+base64.StdEncoding.EncodeToString(sealed.Ciphertext)+`"}`)
	if len(sealed.Ciphertext) != 44 || a.body != `{"plaintext":""}`+"\n" {
		t.Errorf("%d bytes open to %q", len(sealed.Ciphertext), a.body)
	}
}

func TestNames(t *testing.T) {
	c := admin(t, newServer(t))
	for _, name := range []string{"a", "_a", "a_", "0", "A-b_C", "a--b", "__", strings.Repeat("x", 80)} {
		c.gives("PUT", "/v1/key/create/"+name, noBody, nil)
	}
	for escaped, name := range map[string]string{
		"": "", "_": "_", "-": "-", "-a": "-a", "a-": "a-", "a.b": "a.b", "a%2Fb": "a/b", "a/": "a/", "a%20": "a ", "%C3%A9": "é", "a%00": "a\x00", strings.Repeat("x", 81): strings.Repeat("x", 81),
	} {
		c.fails("PUT", "/v1/key/create/"+escaped, noBody, 400, fmt.Sprintf("key name '%s' is empty, too long or contains invalid characters", name))
	}
}

func TestMethods(t *testing.T) {
	s := newServer(t)
	c := admin(t, s)
	s.CreateKey("key-1")
	for path, method := range map[string]string{
		"/version": "GET", "/v1/ready": "GET", "/v1/status": "GET", "/v1/api": "GET", "/v1/key/describe/key-1": "GET", "/v1/key/list/": "GET",
		"/v1/key/create/key-1": "PUT", "/v1/key/import/key-1": "PUT", "/v1/key/generate/key-1": "PUT", "/v1/key/encrypt/key-1": "PUT", "/v1/key/decrypt/key-1": "PUT", "/v1/key/hmac/key-1": "PUT",
		"/v1/key/delete/key-9": "DELETE", "/v1/metrics": "GET", "/v1/policy/read/p": "GET", "/v1/policy/describe/p": "GET", "/v1/policy/list/": "GET",
		"/v1/identity/describe/i": "GET", "/v1/identity/list/": "GET", "/v1/identity/self/describe": "GET",
	} {
		for _, other := range []string{"GET", "PUT", "POST", "DELETE", "HEAD", "PATCH"} {
			a := c.call(other, path, noBody)
			if other == method || other == "POST" && method == "PUT" {
				if a.status == 405 {
					t.Errorf("%s %s: 405", other, path)
				}
				continue
			}
			want := fmt.Sprintf("{\"message\":\"received method '%s' expected '%s'\"\n}", other, method)
			if other == "HEAD" {
				want = ""
			}
			if a.status != 405 || a.header.Get("Accept") != method || a.body != want {
				t.Errorf("%s %s: %d %q, Accept %q", other, path, a.status, a.body, a.header.Get("Accept"))
			}
		}
	}
	for _, path := range []string{"/", "/nope", "/v1/key/", "/v1/key/bulk/decrypt/key-1", "/v1/version", "/version/", "/v1/policy/write/p", "/v1/identity/delete/i", "/v1/enclave/create/e", "/v1/secret/read/s", "/v1/sys/status", "/v1/log", "/v1/log/"} {
		if a := c.call("GET", path, noBody); a.status != 404 || a.body != "404 page not found\n" || a.header.Get("Content-Type") != "text/plain; charset=utf-8" {
			t.Errorf("%s: %d %q %v", path, a.status, a.body, a.header)
		}
	}
	if a := c.call("GET", "//v1/key/list/", noBody); a.status != 307 || a.header.Get("Location") != "/v1/key/list/" {
		t.Errorf("two slashes: %d to %q", a.status, a.header.Get("Location"))
	}
	// What servers redirect to the form with a slash is served at once.
	if a := c.call("GET", "/v1/key/list", noBody); a.status != 200 || a.body != `{"names":["key-1"]}`+"\n" {
		t.Errorf("no slash: %d %q", a.status, a.body)
	}
	c.fails("PUT", "/v1/key/create", noBody, 400, "key name '' is empty, too long or contains invalid characters")
}

func TestList(t *testing.T) {
	s := newServer(t)
	c := admin(t, s)
	list := func(pattern string) (m message) {
		t.Helper()
		c.gives("GET", "/v1/key/list/"+pattern, noBody, &m)
		return m
	}
	if a := c.call("GET", "/v1/key/list/", noBody); a.body != `{"names":[]}`+"\n" {
		t.Errorf("empty: %q", a.body)
	}
	s.CreateKey("b", "app", "app-1", "app_1", "Z")
	for pattern, want := range map[string]string{
		"": "Z app app-1 app_1 b", "*": "Z app app-1 app_1 b", "app": "app app-1 app_1", "app-1": "app-1", "none": "",
		"app-*": "", "app*": "", "_*": "", strings.Repeat("a", 80): "", strings.Repeat("a", 79) + "*": "",
	} {
		if m := list(pattern); strings.Join(m.Names, " ") != want || m.ContinueAt != "" {
			t.Errorf("%q: %q", pattern, m.Names)
		}
	}
	for _, pattern := range []string{"app-", "-", "_", "-a", "-*", "a*b", "**", "a/b", "a.", strings.Repeat("a", 81), strings.Repeat("a", 80) + "*"} {
		c.fails("GET", "/v1/key/list/"+pattern, noBody, 400, fmt.Sprintf("listing pattern '%s' is empty, too long or is invalid", pattern))
	}
	for i := range 1025 {
		s.CreateKey(fmt.Sprintf("k%04d", i))
	}
	if m := list("k"); len(m.Names) != 1024 || !slices.IsSorted(m.Names) || m.ContinueAt != "k1024" {
		t.Errorf("%d names, %q", len(m.Names), m.ContinueAt)
	}
	if m := list("k1024"); !slices.Equal(m.Names, []string{"k1024"}) || m.ContinueAt != "" {
		t.Errorf("%q", m.Names)
	}
}

func TestImport(t *testing.T) {
	c := admin(t, newServer(t))
	raw, _ := base64.StdEncoding.DecodeString(key32)
	i := 0
	for cipher, alg := range map[string]dek.Algorithm{"AES256": dek.AES256, "AES256-GCM_SHA256": dek.AES256, "ChaCha20": dek.ChaCha20, "XCHACHA20-POLY1305": dek.ChaCha20} {
		i++
		name := fmt.Sprintf("key-%d", i)
		c.gives("PUT", "/v1/key/import/"+name, `{"key":"`+key32+`","cipher":"`+cipher+`"}`, nil)
		var info struct{ Algorithm string }
		c.gives("GET", "/v1/key/describe/"+name, noBody, &info)
		if info.Algorithm != alg.String() {
			t.Errorf("%s became %s", cipher, info.Algorithm)
		}
		var g message
		c.gives("PUT", "/v1/key/generate/"+name, noBody, &g)
		// Opened by the key itself, and by nothing else than its algorithm.
		if opened, err := dek.Open(nil, raw, alg, g.Ciphertext, nil); err != nil || !bytes.Equal(opened, g.Plaintext) {
			t.Errorf("%s: %v", cipher, err)
		}
	}
	c.fails("PUT", "/v1/key/import/key-1", `{"key":"`+key32+`","cipher":"AES256"}`, 400, "key already exists")
	for body, message := range map[string]string{
		"{}":                                              "algorithm '' is not supported",
		`{"key":"` + key32 + `"}`:                         "algorithm '' is not supported",
		`{"bytes":"AAAA","algorithm":"AES256"}`:           "algorithm '' is not supported",
		`{"key":"AAAA","cipher":"foo"}`:                   "algorithm 'foo' is not supported",
		`{"key":"AAAA","cipher":"AES256"}`:                "invalid key size for 'AES256'",
		`{"key":"AAAA` + key32 + `","cipher":"ChaCha20"}`: "invalid key size for 'ChaCha20'",
	} {
		c.fails("PUT", "/v1/key/import/key-9", body, 406, message)
	}
	for _, body := range []string{"", "x", `{"key":"%"}`} {
		c.fails("PUT", "/v1/key/import/key-9", body, 400, "invalid import key request body")
	}
}

// TestOldCiphertexts opens what servers of all times wrote.
func TestOldCiphertexts(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "..", "internal", "dek", "testdata", "vectors.json"))
	if err != nil {
		t.Fatal(err)
	}
	var vectors []struct {
		Name, Algorithm, Context   string
		Key, Plaintext, Ciphertext []byte
	}
	if err := json.Unmarshal(text, &vectors); err != nil || len(vectors) == 0 {
		t.Fatal(err)
	}
	s := newServer(t)
	c := admin(t, s)
	for i, v := range vectors {
		secret, err := keserver.NewSecret(v.Key)
		if err != nil {
			t.Fatal(err)
		}
		name := fmt.Sprintf("key-%d", i)
		s.PutKey(name, keserver.Key{Secret: secret, Algorithm: v.Algorithm})
		body, err := json.Marshal(map[string][]byte{"ciphertext": v.Ciphertext, "context": []byte(v.Context)})
		if err != nil {
			t.Fatal(err)
		}
		var m message
		c.gives("PUT", "/v1/key/decrypt/"+name, string(body), &m)
		if !bytes.Equal(m.Plaintext, v.Plaintext) {
			t.Errorf("%s: another plaintext", v.Name)
		}
	}
}

// TestHMAC is the vector of KES spec section 6.1.
func TestHMAC(t *testing.T) {
	s := newServer(t)
	c := admin(t, s)
	reversed := make([]byte, 32)
	for i := range reversed {
		reversed[i] = byte(31 - i)
	}
	h, err := keserver.NewSecret(reversed)
	if err != nil {
		t.Fatal(err)
	}
	s.PutKey("new", keserver.Key{Secret: h, HMAC: h, Algorithm: "AES256"})
	s.PutKey("old", keserver.Key{Secret: h, Algorithm: "AES256"})
	var m message
	c.gives("PUT", "/v1/key/hmac/new", `{"message":"aGVsbG8="}`, &m)
	if base64.StdEncoding.EncodeToString(m.HMAC) != "oyQdSEB+Bd1RAOFKAl26J5WwuYTZ7BFMHDhtuDCytrI=" {
		t.Error("another HMAC")
	}
	c.gives("PUT", "/v1/key/hmac/new", "{}", &m)
	c.fails("PUT", "/v1/key/hmac/old", `{"message":"aGVsbG8="}`, 409, "key does not support HMAC")
	c.gives("PUT", "/v1/key/create/created", noBody, nil)
	c.gives("PUT", "/v1/key/hmac/created", `{"message":"aGVsbG8="}`, &m)
}

// TestAccess is the matrix of KES spec section 2.3.
func TestAccess(t *testing.T) {
	const create, generate = "/v1/key/create/app-1", "/v1/key/generate/app-1"
	for _, test := range []struct {
		allow, deny string
		allowed     []string
	}{
		{"", "", nil},
		{"/v1/key/create/app-1", "", []string{create}},
		{"/v1/key/create/app-", "", nil},
		{"/v1/key/create/app-*", "", []string{create}},
		{"/v1/key/create/app-1*", "", []string{create}},
		{"/v1/key/*/app-1", "", nil},
		{"/v1/key/create/*", "", []string{create}},
		{"*", "", []string{create, generate}},
		{"/*", "", []string{create, generate}},
		{"/v1/key/create/* /v1/key/generate/*", "", []string{create, generate}},
		{"*", "/v1/key/create/*", []string{generate}},
		{"*", "/v1/key/create/app-1", []string{generate}},
		{"*", "/v1/key/create/app-", []string{create, generate}},
		{"*", "*", nil},
		{"/v1/key/create/app-1", "/v1/key/create/app-1", nil},
		{"/v1/key/create/ap?-1", "", nil},
	} {
		s := newServer(t)
		somebody := kes.NewAPIKey()
		policy := keserver.Policy{Allow: append(strings.Fields(test.allow), ""), Deny: append(strings.Fields(test.deny), ""), Identities: []string{"other", somebody.Identity()}}
		if err := s.KES.SetAccess(keserver.Access{Admin: s.Admin.Identity(), Policies: map[string]keserver.Policy{"p": policy}}); err != nil {
			t.Fatal(err)
		}
		c := newClient(t, s, true, certificateOf(t, somebody))
		for _, path := range []string{create, generate} {
			status := 403
			if slices.Contains(test.allowed, path) {
				status = 200
			}
			if path == generate && status == 200 && !slices.Contains(test.allowed, create) {
				s.CreateKey("app-1")
			}
			if a := c.call("PUT", path, noBody); a.status != status {
				t.Errorf("allow %q, deny %q: %s is %d, want %d", test.allow, test.deny, path, a.status, status)
			}
		}
		admin(t, s).gives("PUT", "/v1/key/create/app-2", noBody, nil)
	}
}

func TestNobodyMayDoAnything(t *testing.T) {
	s := newServer(t)
	for what, access := range map[string]keserver.Access{"nobody": {}, "an admin": {Admin: s.Admin.Identity()}} {
		if err := s.KES.SetAccess(access); err != nil {
			t.Fatal(err)
		}
		c := newClient(t, s, true, certificateOf(t, kes.NewAPIKey()))
		// The policy comes before the name.
		for _, path := range []string{"/v1/ready", "/v1/status", "/v1/api", "/v1/key/list/", "/v1/key/describe/a.b", "/v1/key/describe/none"} {
			c.fails("GET", path, noBody, 403, "not authorized: insufficient permissions")
		}
		c.fails("PUT", "/v1/key/generate/none", "not JSON", 403, "not authorized: insufficient permissions")
		var v struct{ Version string }
		c.gives("GET", "/version", noBody, &v)
		if v.Version != "kestest" {
			t.Errorf("%s: version %q", what, v.Version)
		}
	}
}

func TestAccessErrors(t *testing.T) {
	policy := func(ids ...string) keserver.Policy { return keserver.Policy{Allow: []string{"*"}, Identities: ids} }
	for what, access := range map[string]keserver.Access{
		"empty identity":     {Policies: map[string]keserver.Policy{"p": policy("")}},
		"admin in a policy":  {Admin: "a", Policies: map[string]keserver.Policy{"p": policy("a")}},
		"two policies":       {Policies: map[string]keserver.Policy{"p": policy("a"), "q": policy("b", "a")}},
		"twice in one":       {Policies: map[string]keserver.Policy{"p": policy("a", "a")}},
		"admin and somebody": {Admin: "a", Policies: map[string]keserver.Policy{"p": policy("b", "a")}},
	} {
		if _, err := keserver.New(&keserver.Options{Access: access}); err == nil {
			t.Errorf("%s: no error", what)
		}
	}
	s := newServer(t)
	if err := s.KES.SetAccess(keserver.Access{Policies: map[string]keserver.Policy{"p": policy("")}}); err == nil {
		t.Error("no error")
	}
	admin(t, s).gives("GET", "/v1/ready", noBody, nil) // still as it was
}

func pemCertificates(t *testing.T, name string) (der [][]byte) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "testdata", "certs", name))
	if err != nil {
		t.Fatal(err)
	}
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		der = append(der, block.Bytes)
	}
	return der
}

// TestClientCertificates: who is known by what was shown (KES spec section 2.2).
func TestClientCertificates(t *testing.T) {
	key, err := x509.ParsePKCS8PrivateKey(pemCertificates(t, "ed25519.key")[0])
	if err != nil {
		t.Fatal(err)
	}
	caKey, err := x509.ParsePKCS8PrivateKey(pemCertificates(t, "ca.key")[0])
	if err != nil {
		t.Fatal(err)
	}
	one := pemCertificates(t, "ed25519.crt")
	leaf, err := x509.ParseCertificate(one[0])
	if err != nil {
		t.Fatal(err)
	}
	for what, test := range map[string]struct {
		chain   [][]byte
		key     any
		message string // empty: known
	}{
		"one":         {one, key, ""},
		"leaf and CA": {pemCertificates(t, "chain.crt"), key, ""},
		"two leaves":  {pemCertificates(t, "two-leaves.crt"), key, "tls: received more than one client certificate"},
		"CA:TRUE":     {pemCertificates(t, "ca.crt"), caKey, "tls: client certificate is required"},
	} {
		t.Run(what, func(t *testing.T) {
			s := newServer(t)
			s.Allow(kes.Identity(leaf), "/v1/ready")
			c := newClient(t, s, true, &tls.Certificate{Certificate: test.chain, PrivateKey: test.key})
			if test.message == "" {
				c.gives("GET", "/v1/ready", noBody, nil)
			} else {
				c.fails("GET", "/v1/ready", noBody, 400, test.message)
			}
		})
	}
}

// TestNoClientCertificate: newer servers refuse the handshake, older ones the
// request.
func TestNoClientCertificate(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		s := kestest.NewServerWith(kestest.Options{MaxTLS: version})
		t.Cleanup(s.Close)
		if resp, err := newClient(t, s, true, nil).http.Get(s.URL + "/version"); err == nil {
			resp.Body.Close()
			t.Errorf("%s: %s", tls.VersionName(version), resp.Status)
		}
	}
	s := kestest.NewServerWith(kestest.Options{ClientAuth: tls.RequestClientCert})
	t.Cleanup(s.Close)
	c := newClient(t, s, true, nil)
	c.gives("GET", "/version", noBody, &struct{}{})
	c.fails("GET", "/v1/ready", noBody, 400, "tls: client certificate is required")
}

func TestNoTLS(t *testing.T) {
	s, err := keserver.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, httptest.NewRequest("GET", "/v1/ready", nil))
	if w.Code != 400 || !strings.Contains(w.Body.String(), "insecure connection: TLS is required") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestAPI(t *testing.T) {
	var list []struct {
		Method, Path string
		MaxBody      int64 `json:"max_body"`
		Timeout      int
	}
	admin(t, newServer(t)).gives("GET", "/v1/api", noBody, &list)
	limits := make(map[string]int64)
	for _, a := range list {
		limits[a.Method+" "+a.Path] = a.MaxBody
		want := 15
		switch a.Path {
		case "/version", "/v1/api":
			want = 10
		case "/v1/log/audit", "/v1/log/error":
			want = 0
		}
		if a.Timeout != want {
			t.Errorf("%s: timeout %d", a.Path, a.Timeout)
		}
	}
	for route, limit := range map[string]int64{"GET /version": 0, "PUT /v1/key/generate/": 1_000_000, "PUT /v1/key/create/": 0, "DELETE /v1/key/delete/": 0, "GET /v1/key/list/": 0, "PUT /v1/key/hmac/": 1_000_000, "GET /v1/log/audit": 0, "GET /v1/identity/self/describe": 0} {
		if got, ok := limits[route]; !ok || got != limit {
			t.Errorf("%s: %d, %v", route, got, ok)
		}
	}
}

// broken is a key store that is away.
type broken struct{ keserver.KeyStore }

var errAway = errors.New("away")

func (broken) Create(context.Context, string, keserver.Key) error { return errAway }
func (broken) Get(context.Context, string) (keserver.Key, error)  { return keserver.Key{}, errAway }
func (broken) Delete(context.Context, string) error               { return errAway }
func (broken) List(context.Context, string) ([]string, error)     { return nil, errAway }
func (broken) Status(context.Context) error                       { return errAway }

func TestKeyStoreUnreachable(t *testing.T) {
	s := kestest.NewServerWith(kestest.Options{KeyStore: broken{}})
	t.Cleanup(s.Close)
	c := admin(t, s)
	c.fails("GET", "/v1/ready", noBody, 504, "key store is not reachable")
	c.fails("PUT", "/v1/key/create/a", noBody, 502, "failed to create key")
	c.fails("GET", "/v1/key/describe/a", noBody, 502, "failed to read key")
	c.fails("PUT", "/v1/key/generate/a", noBody, 502, "failed to read key")
	c.fails("DELETE", "/v1/key/delete/a", noBody, 502, "failed to delete key")
	c.fails("GET", "/v1/key/list/", noBody, 502, "failed to list keys")
	var v map[string]any
	c.gives("GET", "/v1/status", noBody, &v)
	if v["keystore_unreachable"] != true || v["keystore_latency"] != nil {
		t.Errorf("status: %v", v)
	}

	if _, err := s.Backend(nil).GenerateKey(t.Context(), "a", nil); !errors.Is(err, kms.ErrUnreachable) || !strings.Contains(err.Error(), "failed to read key") {
		t.Errorf("the client's error: %v", err)
	}
	status, err := s.Backend(nil).Status(t.Context())
	if err != nil || !status.KeyStoreUnreachable {
		t.Errorf("the client's status: %+v, %v", status, err)
	}
}

func TestStatus(t *testing.T) {
	c := admin(t, newServer(t))
	var v map[string]any
	c.gives("GET", "/v1/status", noBody, &v)
	for _, field := range []string{"version", "os", "arch", "uptime", "num_cpu", "num_cpu_used", "mem_heap_used", "mem_stack_used", "keystore_latency"} {
		if v[field] == nil {
			t.Errorf("no %s in %v", field, v)
		}
	}
	if v["keystore_latency"].(float64) < 1 || v["keystore_unreachable"] != nil {
		t.Errorf("%v", v)
	}
	c.gives("GET", "/v1/ready", noBody, nil)
}

// TestUnusableKey: a key store may hold what this server cannot use.
func TestUnusableKey(t *testing.T) {
	s := newServer(t)
	secret, err := keserver.NewSecret(make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	s.PutKey("no-algorithm", keserver.Key{Secret: secret})
	s.PutKey("no-secret", keserver.Key{Algorithm: "AES256"})
	c := admin(t, s)
	for _, name := range []string{"no-algorithm", "no-secret"} {
		c.fails("PUT", "/v1/key/generate/"+name, noBody, 502, "failed to read key")
		c.fails("PUT", "/v1/key/decrypt/"+name, "{}", 502, "failed to read key")
	}
}

// TestCreateWithoutAES: on a processor without AES keys are for ChaCha20.
func TestCreateWithoutAES(t *testing.T) {
	defer cpu.Disable(cpu.AES)()
	if dek.Default() != dek.ChaCha20 {
		t.Log("FIPS 140 demands AES")
	}
	s := newServer(t)
	b := s.Backend(nil)
	if err := b.CreateKey(t.Context(), "key-1"); err != nil {
		t.Fatal(err)
	}
	info, err := b.DescribeKey(t.Context(), "key-1")
	if err != nil || info.Algorithm != dek.Default().String() {
		t.Errorf("%+v, %v", info, err)
	}
	g, err := b.GenerateKey(t.Context(), "key-1", nil)
	if err != nil {
		t.Fatal(err)
	}
	if key, err := b.Decrypt(t.Context(), "key-1", g.Ciphertext, nil); err != nil || !key.Equal(g.Key) {
		t.Error(err)
	}
}

func TestSecretNeverPrints(t *testing.T) {
	secret, err := keserver.NewSecret([]byte("SECRET-secret-SECRET-secret-1234"))
	if err != nil {
		t.Fatal(err)
	}
	store := keserver.NewMemory()
	key := keserver.Key{Secret: secret, HMAC: secret}
	if err := store.Create(t.Context(), "a", key); err != nil {
		t.Fatal(err)
	}
	text, _ := json.Marshal(key)
	out := string(text)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d"} {
		out += fmt.Sprintf(verb, key) + fmt.Sprintf(verb, store)
	}
	for _, shown := range []string{"SECRET", "534543524554", "83 69 67", base64.StdEncoding.EncodeToString([]byte("SECRET"))} {
		if strings.Contains(out, shown) {
			t.Errorf("a secret prints: %q", shown)
		}
	}
	if _, err := keserver.NewSecret(make([]byte, 31)); !errors.Is(err, kms.ErrKeySize) {
		t.Errorf("31 bytes: %v", err)
	}
	if !secret.Equal(key.HMAC) || secret.Equal(keserver.Secret{}) {
		t.Error("Equal")
	}
}
