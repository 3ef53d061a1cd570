//go:build unix

package kesproc

import (
	"crypto/tls"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"
)

// Door stands before a server and counts what goes in: servers of old
// generations do not count themselves, and none counts by path. To clients it
// is the server; the server sees everybody as the deployment's Client.
type Door struct {
	server *httptest.Server

	mu     sync.Mutex
	paths  []string
	hidden string

	arrived chan struct{}
}

// NewDoor opens a door before s.
func (s *Server) NewDoor(t testing.TB) *Door {
	t.Helper()
	upstream, err := s.deployment.TLS()
	if err != nil {
		t.Fatal(err)
	}
	own, err := tls.LoadX509KeyPair(s.deployment.serverCert.CertFile, s.deployment.serverCert.KeyFile)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{TLSClientConfig: upstream, ForceAttemptHTTP2: true}
	proxy := &httputil.ReverseProxy{
		Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(&url.URL{Scheme: "https", Host: s.address}) },
		Transport: transport,
		ErrorLog:  log.New(io.Discard, "", 0),
	}
	d := &Door{arrived: make(chan struct{}, 1)}
	d.server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		d.mu.Lock()
		d.paths = append(d.paths, r.URL.Path)
		hidden := d.hidden != "" && strings.HasPrefix(r.URL.Path, d.hidden)
		d.mu.Unlock()
		select {
		case d.arrived <- struct{}{}:
		default: // nobody has asked about the one before
		}
		if hidden {
			http.NotFound(w, r) // the very text of KES servers
			return
		}
		proxy.ServeHTTP(w, r)
	}))
	d.server.EnableHTTP2 = true
	d.server.Config.ErrorLog = log.New(io.Discard, "", 0)
	d.server.TLS = &tls.Config{Certificates: []tls.Certificate{own}, ClientAuth: tls.RequireAnyClientCert}
	d.server.StartTLS()
	t.Cleanup(func() {
		d.server.CloseClientConnections()
		d.server.Close()
		transport.CloseIdleConnections()
	})
	return d
}

// Endpoint returns the URL of the door.
func (d *Door) Endpoint() string { return d.server.URL }

// Address returns the door's host and port.
func (d *Door) Address() string { return strings.TrimPrefix(d.server.URL, "https://") }

// Take returns the paths of all requests since the last call.
func (d *Door) Take() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	paths := d.paths
	d.paths = nil
	return paths
}

// Arrived returns when a request has come in since the last call, or since the
// beginning.
func (d *Door) Arrived() { <-d.arrived }

// Hide makes the server one that does not know the paths that begin with prefix.
func (d *Door) Hide(prefix string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.hidden = prefix
}
