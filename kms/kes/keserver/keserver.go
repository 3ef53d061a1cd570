// Package keserver is a development server that speaks the API of MinIO KES.
//
// Start with [New]: the [Server] it returns is an http.Handler over a
// [KeyStore]. It must be served over TLS with the client's certificate asked
// for, see [TLSConfig]; who a client is, is the SHA-256 of its public key.
// Package kestest serves one for tests.
//
//	client certificate → identity → policy → route → key store → answer
//
// Routes, statuses, messages and limits are those of KES servers of 2024 and
// 2025, [Options.Legacy] makes them those of 2023. Data keys are sealed in their
// raw form, ciphertext ‖ tag ‖ iv ‖ nonce, of which the key store's keys cannot
// be told; all older forms are opened as well. [OpenDir] is a key store that
// real servers can open too.
//
// Guaranteed: there is no default administrator, and who is in no policy may
// ask for the version only. An answer that is not taken within a route's time
// ends the connection. Not guaranteed: what a key server in production needs
// beside, such as key stores elsewhere, caches and a log that is kept.
//
// Where servers of 2025 have a defect this one does the sensible thing: log
// streams carry events, /v1/identity/self/describe knows who is not the
// administrator, a key store that is away is not a key that is missing.
//
// Source: KES spec sections 1 and 2.
package keserver

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log"
	"net"
	"net/http"
	"runtime"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"time"

	"github.com/objseal/objseal/kms/kes"
)

// Options are the settings of a Server. The zero value serves keys from memory
// to nobody.
type Options struct {
	// Access tells who may do what.
	Access Access

	// KeyStore is where the keys are; nil for a new one in memory.
	KeyStore KeyStore

	// Version is what the server says it is; empty: the version of objseal.
	Version string

	// Legacy serves as servers until 2023 do: without HMACs, and with null for
	// a plaintext that is empty. See TLSConfig for the other difference.
	Legacy bool

	// Log is where failures of the key store and of connections are written,
	// besides to those who follow /v1/log/error. Nil: nowhere.
	Log io.Writer
}

// Server is a KES server without its listener. It is safe for concurrent use.
type Server struct {
	keys     KeyStore
	access   atomic.Pointer[access]
	mux      *http.ServeMux
	version  string
	legacy   bool
	start    time.Time
	metrics  metrics
	audit    feed
	errors   feed
	errorLog *log.Logger
}

// New returns a Server. A nil o means the defaults.
func New(o *Options) (*Server, error) {
	if o == nil {
		o = new(Options)
	}
	s := &Server{keys: o.KeyStore, mux: http.NewServeMux(), version: o.Version, legacy: o.Legacy, start: time.Now().UTC()}
	s.errorLog = log.New(&errorWriter{&s.errors, o.Log}, "", log.LstdFlags)
	if s.keys == nil {
		s.keys = NewMemory()
	}
	if s.version == "" {
		s.version = "objseal"
		if info, ok := debug.ReadBuildInfo(); ok {
			s.version += " " + info.Main.Version
		}
	}
	if err := s.SetAccess(o.Access); err != nil {
		return nil, err
	}
	for _, r := range s.routes() {
		serve := func(w http.ResponseWriter, req *http.Request) { s.serve(w, req, r) }
		s.mux.HandleFunc(r.path, serve)
		// Clients list with an empty prefix and no slash: instead of the redirect
		// that http.ServeMux has for them they get their answer.
		if path, ok := strings.CutSuffix(r.path, "/"); ok {
			s.mux.HandleFunc(path, serve)
		}
	}
	return s, nil
}

// Close ends the log streams, which else last as long as their clients want:
// http.Server.Shutdown waits for them, unless it is told of Close by
// RegisterOnShutdown. All other requests are served on.
func (s *Server) Close() {
	s.audit.close()
	s.errors.close()
}

// ErrorLog returns the log of failures, for http.Server.ErrorLog.
func (s *Server) ErrorLog() *log.Logger { return s.errorLog }

// TLSConfig returns how to listen for clients: TLS 1.2 or later, HTTP/2 and
// HTTP/1.1. The policy for client certificates is tls.RequireAnyClientCert for
// servers since 2024; tls.RequestClientCert for older ones, which refuse
// clients without one by an HTTP answer; tls.RequireAndVerifyClientCert needs
// ClientCAs in the result (KES spec section 2.1).
func TLSConfig(cert tls.Certificate, auth tls.ClientAuthType) *tls.Config {
	return &tls.Config{
		MinVersion:   tls.VersionTLS12,
		Certificates: []tls.Certificate{cert},
		ClientAuth:   auth,
		NextProtos:   []string{"h2", "http/1.1"},
	}
}

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.mux.ServeHTTP(w, r) }

// route is one line of KES spec section 1.2.
type route struct {
	method  string
	path    string // a name follows if it ends in a slash
	maxBody int64  // bytes; 0: the body is not read
	timeout time.Duration
	auth    auth
	handle  func(*Server, *request) (any, error)
}

// auth is what a route asks of its clients.
type auth int

const (
	byPolicy  auth = iota
	anyClient      // a certificate
	everybody      // not even that
)

const (
	mb   = 1_000_000
	slow = 15 * time.Second
	fast = 10 * time.Second
)

func (s *Server) routes() []route {
	list := []route{
		{http.MethodGet, "/version", 0, fast, everybody, (*Server).getVersion},
		{http.MethodGet, "/v1/ready", 0, slow, byPolicy, (*Server).ready},
		{http.MethodGet, "/v1/status", 0, slow, byPolicy, (*Server).status},
		{http.MethodGet, "/v1/metrics", 0, slow, byPolicy, (*Server).getMetrics},
		{http.MethodGet, "/v1/api", 0, fast, byPolicy, (*Server).api},
		{http.MethodPut, "/v1/key/create/", 0, slow, byPolicy, (*Server).create},
		{http.MethodPut, "/v1/key/import/", mb, slow, byPolicy, (*Server).importKey},
		{http.MethodGet, "/v1/key/describe/", 0, slow, byPolicy, (*Server).describe},
		{http.MethodGet, "/v1/key/list/", 0, slow, byPolicy, (*Server).list},
		{http.MethodDelete, "/v1/key/delete/", 0, slow, byPolicy, (*Server).deleteKey},
		{http.MethodPut, "/v1/key/generate/", mb, slow, byPolicy, (*Server).generate},
		{http.MethodPut, "/v1/key/encrypt/", mb, slow, byPolicy, (*Server).encrypt},
		{http.MethodPut, "/v1/key/decrypt/", mb, slow, byPolicy, (*Server).decrypt},
		{http.MethodGet, "/v1/policy/describe/", 0, slow, byPolicy, (*Server).describePolicy},
		{http.MethodGet, "/v1/policy/read/", 0, slow, byPolicy, (*Server).readPolicy},
		{http.MethodGet, "/v1/policy/list/", 0, slow, byPolicy, (*Server).listPolicies},
		{http.MethodGet, "/v1/identity/describe/", 0, slow, byPolicy, (*Server).describeIdentity},
		{http.MethodGet, "/v1/identity/list/", 0, slow, byPolicy, (*Server).listIdentities},
		{http.MethodGet, "/v1/identity/self/describe", 0, slow, anyClient, (*Server).describeSelf},
		{http.MethodGet, "/v1/log/audit", 0, 0, byPolicy, (*Server).followAudit},
		{http.MethodGet, "/v1/log/error", 0, 0, byPolicy, (*Server).followErrors},
	}
	if !s.legacy {
		list = append(list, route{http.MethodPut, "/v1/key/hmac/", mb, slow, byPolicy, (*Server).hmac})
	}
	return list
}

// request is what a route's handler gets.
type request struct {
	ctx      context.Context
	path     string
	client   string // its IP address
	identity string
	access   *access // one for the whole request
	name     string  // what follows the route's path
	body     []byte
	noBody   bool // the client said that there is none
	start    time.Time
}

// serve answers one request, and counts it.
func (s *Server) serve(w http.ResponseWriter, r *http.Request, route route) {
	req := &request{path: r.URL.Path, access: s.access.Load(), start: time.Now()}
	s.metrics.begin()
	if route.timeout > 0 {
		// Not all kinds of connections have deadlines; those of net/http do.
		control, deadline := http.NewResponseController(w), req.start.Add(route.timeout)
		_ = control.SetReadDeadline(deadline)
		_ = control.SetWriteDeadline(deadline)
	}
	result, err := s.answer(w, r, route, req)
	if err != nil {
		s.metrics.end(s.writeError(w, err), time.Since(req.start))
		return
	}
	s.metrics.end(writeResult(w, result), time.Since(req.start))
	if stream, ok := result.(*follow); ok {
		stream.run(req.ctx, w)
	}
}

// answer checks in the order of KES spec section 1.1: method, identity and
// policy, name, body; the handlers go on with the key.
func (s *Server) answer(w http.ResponseWriter, r *http.Request, route route, req *request) (any, error) {
	if r.Method != route.method && !(r.Method == http.MethodPost && route.method == http.MethodPut) {
		w.Header().Set("Accept", route.method) // sic
		return nil, failf(http.StatusMethodNotAllowed, "received method '%s' expected '%s'", r.Method, route.method)
	}
	if req.path+"/" == route.path {
		req.path = route.path
	}
	req.name = strings.TrimPrefix(req.path, route.path)
	req.client, _, _ = net.SplitHostPort(r.RemoteAddr)
	if route.auth != everybody {
		var err error
		if req.identity, err = identify(r.TLS); err != nil {
			return nil, err
		}
		if route.auth == byPolicy && !req.access.allows(req.identity, req.path) {
			return nil, errNotAllowed
		}
	}
	if err := checkName(route, req.name); err != nil {
		return nil, err
	}
	if route.maxBody > 0 {
		req.noBody = r.ContentLength == 0
		var err error
		// Its length may be unknown (KES spec section 7.1).
		if req.body, err = io.ReadAll(io.LimitReader(r.Body, route.maxBody+1)); err != nil || int64(len(req.body)) > route.maxBody {
			return nil, errBody
		}
		defer clear(req.body)
	}
	req.ctx = r.Context()
	if route.timeout > 0 {
		var cancel context.CancelFunc
		req.ctx, cancel = context.WithTimeout(req.ctx, route.timeout)
		defer cancel()
	}
	return route.handle(s, req)
}

// identify returns who the client is (KES spec section 2.2).
func identify(state *tls.ConnectionState) (string, error) {
	if state == nil {
		return "", errInsecure
	}
	var leaf *x509.Certificate
	for _, c := range state.PeerCertificates {
		switch {
		case c.IsCA:
		case leaf != nil:
			return "", errTwoCertificates
		default:
			leaf = c
		}
	}
	if leaf == nil {
		return "", errNoCertificate
	}
	return kes.Identity(leaf), nil
}

func (s *Server) getVersion(*request) (any, error) {
	return struct {
		Version string `json:"version"`
		Commit  string `json:"commit"`
	}{s.version, "<unknown>"}, nil
}

func (s *Server) ready(r *request) (any, error) {
	if err := s.keys.Status(r.ctx); err != nil {
		return nil, &failure{http.StatusGatewayTimeout, "key store is not reachable", err}
	}
	return nil, nil
}

func (s *Server) status(r *request) (any, error) {
	start := time.Now()
	err := s.keys.Status(r.ctx)
	latency := time.Since(start)
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	v := struct {
		Version     string `json:"version"`
		OS          string `json:"os"`
		Arch        string `json:"arch"`
		Uptime      int64  `json:"uptime"` // seconds
		CPUs        int    `json:"num_cpu"`
		CPUsUsed    int    `json:"num_cpu_used"`
		Heap        uint64 `json:"mem_heap_used"`
		Stack       uint64 `json:"mem_stack_used"`
		Latency     int64  `json:"keystore_latency,omitempty"` // milliseconds
		Unreachable bool   `json:"keystore_unreachable,omitempty"`
	}{
		s.version, runtime.GOOS, runtime.GOARCH, int64(time.Since(s.start).Seconds()),
		runtime.NumCPU(), runtime.GOMAXPROCS(0), memory.HeapAlloc, memory.StackInuse,
		max(1, latency.Milliseconds()), false,
	}
	if err != nil {
		v.Latency, v.Unreachable = 0, true
	}
	return v, nil
}

func (s *Server) api(*request) (any, error) {
	type api struct {
		Method  string `json:"method"`
		Path    string `json:"path"`
		MaxBody int64  `json:"max_body"`
		Timeout int64  `json:"timeout"` // seconds
	}
	var list []api
	for _, r := range s.routes() {
		list = append(list, api{r.method, r.path, r.maxBody, int64(r.timeout.Seconds())})
	}
	return list, nil
}
