// Package kestest runs a KES server for tests: package keserver on loopback,
// over TLS, with keys in memory.
//
// Start with [NewServer]; it needs no set-up. [Server.Backend] is a client of
// its administrator. [Server.Allow] gives another identity a policy,
// [Server.Inject] makes the next requests meet a [Fault], and [Server.Requests]
// tells what was asked.
//
//	s := kestest.NewServer()
//	defer s.Close()
//	s.CreateKey("app-1")
//	client := kms.NewClient(s.Backend(nil), &kms.Options{DefaultKeyID: "app-1"})
//
// It protects nothing: keys end with the process, and everybody may read its
// requests in the test's memory.
package kestest

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"

	"github.com/objseal/objseal/internal/secret"
	"github.com/objseal/objseal/kms/kes"
	"github.com/objseal/objseal/kms/kes/keserver"
)

// Server is a running KES server. Like those of net/http/httptest it panics
// where it cannot be set up.
type Server struct {
	URL   string // https://127.0.0.1:port
	Admin kes.APIKey
	KES   *keserver.Server
	Keys  keserver.KeyStore

	http   *httptest.Server
	access keserver.Access
	closed chan struct{}

	closing sync.Once

	mu       sync.Mutex
	requests []Request
	faults   []*injection
	backends []*kes.Backend
}

// Options are what a Server can be besides the usual. The zero value is a
// server as they are since 2024.
type Options struct {
	// ClientAuth is what the TLS handshake asks of clients, see
	// keserver.TLSConfig. Zero means tls.RequireAnyClientCert.
	ClientAuth tls.ClientAuthType
	// ClientCAs are for the kinds of ClientAuth that verify.
	ClientCAs *x509.CertPool
	// HTTP1 turns HTTP/2 off.
	HTTP1 bool
	// MaxTLS is the latest version of TLS; zero means no limit.
	MaxTLS uint16
	// KeyStore is where the keys are, so that servers can share them; nil for
	// one in memory.
	KeyStore keserver.KeyStore
	// Admin is the administrator's key; zero for a new one.
	Admin kes.APIKey
	// Legacy is keserver's: a server of 2023. Those ask for a certificate
	// (tls.RequestClientCert) and do not insist.
	Legacy bool
}

// Request is one request as it arrived.
type Request struct {
	Method, Path  string
	Body          []byte
	ContentLength int64 // -1 if the client did not say
	Proto         string
	Header        http.Header
}

// NewServer starts a server with a new administrator.
func NewServer() *Server { return NewServerWith(Options{}) }

// NewServerWith starts a server that is special.
func NewServerWith(o Options) *Server {
	s := &Server{Admin: o.Admin, Keys: o.KeyStore, closed: make(chan struct{})}
	if s.Admin.IsZero() {
		s.Admin = kes.NewAPIKey()
	}
	if s.Keys == nil {
		s.Keys = keserver.NewMemory()
	}
	if o.ClientAuth == tls.NoClientCert {
		o.ClientAuth = tls.RequireAnyClientCert
	}
	s.access = keserver.Access{Admin: s.Admin.Identity(), Policies: make(map[string]keserver.Policy)}
	var err error
	if s.KES, err = keserver.New(&keserver.Options{Access: s.access, KeyStore: s.Keys, Version: "kestest", Legacy: o.Legacy}); err != nil {
		panic("kestest: " + err.Error())
	}
	s.http = httptest.NewUnstartedServer(http.HandlerFunc(s.serve))
	s.http.Config.ErrorLog = log.New(io.Discard, "", 0) // refused handshakes are part of tests
	s.http.EnableHTTP2 = !o.HTTP1
	s.http.TLS = keserver.TLSConfig(tls.Certificate{}, o.ClientAuth)
	s.http.TLS.Certificates = nil // httptest's
	s.http.TLS.ClientCAs = o.ClientCAs
	s.http.TLS.MaxVersion = o.MaxTLS
	if o.HTTP1 {
		s.http.TLS.NextProtos = []string{"http/1.1"}
	}
	s.http.StartTLS()
	s.URL = s.http.URL
	return s
}

// Close ends the server, its connections, and the Backends of
// [Server.Backend].
func (s *Server) Close() {
	s.closing.Do(func() { close(s.closed) })
	s.KES.Close()
	for _, b := range s.backends {
		b.Close()
	}
	s.http.CloseClientConnections()
	s.http.Close()
}

// Certificate returns the server's certificate, which is its own CA.
func (s *Server) Certificate() *x509.Certificate { return s.http.Certificate() }

// CAs returns the pool that trusts the server's certificate.
func (s *Server) CAs() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(s.Certificate())
	return pool
}

// Backend returns a client of the server that is its administrator. A nil o
// means the defaults; RootCAs are filled in. Further servers, to which the
// client fails over, share the Admin of this one.
func (s *Server) Backend(o *kes.Options, further ...*Server) *kes.Backend {
	return s.BackendOf(s.Admin, o, further...)
}

// BackendOf is Backend for somebody else.
func (s *Server) BackendOf(creds kes.Credentials, o *kes.Options, further ...*Server) *kes.Backend {
	var options kes.Options
	if o != nil {
		options = *o
	}
	if options.RootCAs == nil {
		options.RootCAs = s.CAs() // httptest's servers have one certificate
	}
	urls := []string{s.URL}
	for _, f := range further {
		urls = append(urls, f.URL)
	}
	b, err := kes.New(urls, creds, &options)
	if err != nil {
		panic("kestest: " + err.Error())
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.backends = append(s.backends, b)
	return b
}

// CreateKey puts new keys of the usual algorithm in the key store.
func (s *Server) CreateKey(names ...string) {
	for _, name := range names {
		s.PutKey(name, keserver.Key{Secret: keserver.Secret{Key: secret.Random()}, HMAC: keserver.Secret{Key: secret.Random()}, Algorithm: "AES256"})
	}
}

// PutKey puts a key in the key store.
func (s *Server) PutKey(name string, key keserver.Key) {
	if err := s.Keys.Create(context.Background(), name, key); err != nil {
		panic("kestest: failed to create a key: " + err.Error())
	}
}

// Allow gives an identity a policy of its own, with these rules.
func (s *Server) Allow(identity string, rules ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.access.Policies[identity] = keserver.Policy{Allow: rules, Identities: []string{identity}}
	if err := s.KES.SetAccess(s.access); err != nil {
		panic("kestest: " + err.Error())
	}
}

// Requests returns the requests so far whose path begins with prefix.
func (s *Server) Requests(prefix string) (list []Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.requests {
		if strings.HasPrefix(r.Path, prefix) {
			list = append(list, r)
		}
	}
	return list
}

// Count returns how many requests there were whose path begins with prefix.
func (s *Server) Count(prefix string) int { return len(s.Requests(prefix)) }

// serve notes a request and hands it to the fault that is injected for it, or
// to the server.
func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	s.mu.Lock()
	s.requests = append(s.requests, Request{r.Method, r.URL.Path, body, r.ContentLength, r.Proto, r.Header.Clone()})
	fault := s.nextFault(r.URL.Path)
	s.mu.Unlock()
	r.Body = io.NopCloser(bytes.NewReader(body))
	if fault == nil {
		s.KES.ServeHTTP(w, r)
		return
	}
	fault(w, r, s)
}
