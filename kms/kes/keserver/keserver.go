// Package keserver is a development server that speaks the API of MinIO KES.
//
// Start with [New]: the [Server] it returns is an http.Handler over a
// [KeyStore]. It must be served over TLS with the client's certificate asked
// for, see [TLSConfig]; who a client is, is the SHA-256 of its public key.
// Package kestest serves one for tests.
//
//	client certificate → identity → policy → route → key store → answer
//
// Statuses, messages and limits are those of KES servers of 2024 and 2025. Data
// keys are sealed in their raw form, ciphertext ‖ tag ‖ iv ‖ nonce, of which the
// key store's keys cannot be told; all older forms are opened as well.
//
// Guaranteed: there is no default administrator, and who is in no policy may
// ask for the version only. Not guaranteed: what a key server in production
// needs beside, such as logs, metrics and caches. Not there are the routes
// /v1/metrics, /v1/log/, /v1/policy/ and /v1/identity/.
//
// Source: KES spec sections 1 and 2.
package keserver

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
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
}

// Server is a KES server without its listener. It is safe for concurrent use.
type Server struct {
	keys    KeyStore
	access  atomic.Pointer[Access]
	mux     *http.ServeMux
	version string
	start   time.Time
}

// New returns a Server. A nil o means the defaults.
func New(o *Options) (*Server, error) {
	if o == nil {
		o = new(Options)
	}
	s := &Server{keys: o.KeyStore, mux: http.NewServeMux(), version: o.Version, start: time.Now()}
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
	for _, r := range routes() {
		s.mux.HandleFunc(r.path, func(w http.ResponseWriter, req *http.Request) { s.serve(w, req, r) })
	}
	return s, nil
}

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
	public  bool // for everybody, even without a certificate
	handle  func(*Server, *request) (any, error)
}

const mb = 1_000_000

func routes() []route {
	return []route{
		{http.MethodGet, "/version", 0, 10 * time.Second, true, (*Server).getVersion},
		{http.MethodGet, "/v1/ready", 0, 15 * time.Second, false, (*Server).ready},
		{http.MethodGet, "/v1/status", 0, 15 * time.Second, false, (*Server).status},
		{http.MethodGet, "/v1/api", 0, 10 * time.Second, false, (*Server).api},
		{http.MethodPut, "/v1/key/create/", 0, 15 * time.Second, false, (*Server).create},
		{http.MethodPut, "/v1/key/import/", mb, 15 * time.Second, false, (*Server).importKey},
		{http.MethodGet, "/v1/key/describe/", 0, 15 * time.Second, false, (*Server).describe},
		{http.MethodGet, "/v1/key/list/", 0, 15 * time.Second, false, (*Server).list},
		{http.MethodDelete, "/v1/key/delete/", 0, 15 * time.Second, false, (*Server).deleteKey},
		{http.MethodPut, "/v1/key/generate/", mb, 15 * time.Second, false, (*Server).generate},
		{http.MethodPut, "/v1/key/encrypt/", mb, 15 * time.Second, false, (*Server).encrypt},
		{http.MethodPut, "/v1/key/decrypt/", mb, 15 * time.Second, false, (*Server).decrypt},
		{http.MethodPut, "/v1/key/hmac/", mb, 15 * time.Second, false, (*Server).hmac},
	}
}

// request is what a route's handler gets.
type request struct {
	ctx      context.Context
	identity string
	name     string // what follows the route's path
	body     []byte
	noBody   bool // the client said that there is none
}

// serve checks in the order of KES spec section 1.1: method, identity and
// policy; the handlers go on with name, body, key.
func (s *Server) serve(w http.ResponseWriter, r *http.Request, route route) {
	result, err := s.answer(w, r, route)
	if err != nil {
		writeError(w, err)
		return
	}
	writeResult(w, result)
}

func (s *Server) answer(w http.ResponseWriter, r *http.Request, route route) (any, error) {
	if r.Method != route.method && !(r.Method == http.MethodPost && route.method == http.MethodPut) {
		w.Header().Set("Accept", route.method) // sic
		return nil, failf(http.StatusMethodNotAllowed, "received method '%s' expected '%s'", r.Method, route.method)
	}
	req := &request{name: strings.TrimPrefix(r.URL.Path, route.path)}
	if !route.public {
		var err error
		if req.identity, err = identify(r.TLS); err != nil {
			return nil, err
		}
		if !s.access.Load().allows(req.identity, r.URL.Path) {
			return nil, errNotAllowed
		}
	}
	if strings.HasPrefix(route.path, "/v1/key/") {
		if err := checkName(route, req.name); err != nil {
			return nil, err
		}
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
	var cancel context.CancelFunc
	req.ctx, cancel = context.WithTimeout(r.Context(), route.timeout)
	defer cancel()
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
		return nil, failf(http.StatusGatewayTimeout, "key store is not reachable")
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
	for _, r := range routes() {
		list = append(list, api{r.method, r.path, r.maxBody, int64(r.timeout.Seconds())})
	}
	return list, nil
}

// SetAccess replaces who may do what, for requests from now on. An error
// leaves it as it was.
func (s *Server) SetAccess(a Access) error {
	checked, err := a.check()
	if err != nil {
		return err
	}
	s.access.Store(checked)
	return nil
}

var errEmptyIdentity = errors.New("an identity is empty")
