package kes

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"net/url"
	"time"
)

// Diagnosis is how far a new connection to a server gets: to the addresses of
// its name, to one of these, through the TLS handshake. The first error is where
// it ends.
type Diagnosis struct {
	Endpoint string // https://host:port
	Proxy    string // host:port of the proxy that is used, beyond which nothing can be said; else empty

	Addresses  []string
	ResolveErr error

	Address    string // of Addresses, the one that was reached
	ConnectErr error

	TLSVersion  string
	Protocol    string            // "h2", or empty for HTTP/1.1
	Certificate *x509.Certificate // the server's; also one that was not accepted, if that is all
	TLSErr      error             // a *NetworkError
}

// Diagnose connects to every server, all at once. It makes no request, and a
// server may refuse the client certificate only when there is one.
func (b *Backend) Diagnose(ctx context.Context) []Diagnosis {
	all := make([]Diagnosis, len(b.endpoints))
	done := make(chan struct{})
	for i, e := range b.endpoints {
		go func() {
			within, cancel := context.WithTimeoutCause(ctx, b.tryTimeout, errTryTimeout)
			defer cancel()
			all[i] = b.connect(within, e)
			done <- struct{}{}
		}()
	}
	for range b.endpoints {
		<-done
	}
	return all
}

// connect takes the steps that net/http takes.
func (b *Backend) connect(ctx context.Context, e *endpoint) (d Diagnosis) {
	d.Endpoint = e.String()
	host, port, proxy := hostOf(e)
	if proxy != nil {
		d.Proxy = proxy.Host
		return d
	}
	start := time.Now()
	if d.Addresses, d.ResolveErr = net.DefaultResolver.LookupHost(ctx, host); d.ResolveErr != nil {
		return d
	}
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", net.JoinHostPort(host, port))
	if err != nil {
		if context.Cause(ctx) == errTryTimeout {
			err = errTryTimeout
		}
		d.ConnectErr = err
		return d
	}
	defer conn.Close()
	d.Address, _, _ = net.SplitHostPort(conn.RemoteAddr().String())
	config := b.handshake()
	config.ServerName = host
	secure := tls.Client(conn, config)
	if err := secure.HandshakeContext(ctx); err != nil {
		if v := (*tls.CertificateVerificationError)(nil); errors.As(err, &v) && len(v.UnverifiedCertificates) > 0 {
			d.Certificate = v.UnverifiedCertificates[0]
		}
		d.TLSErr = b.networkError(ctx, e, err, start)
		return d
	}
	state := secure.ConnectionState()
	d.TLSVersion, d.Protocol, d.Certificate = tls.VersionName(state.Version), state.NegotiatedProtocol, state.PeerCertificates[0]
	return d
}

// handshake is b.tls for a connection that is not net/http's.
func (b *Backend) handshake() *tls.Config {
	config := b.tls.Clone()
	config.NextProtos = []string{"h2", "http/1.1"}
	return config
}

// hostOf takes an endpoint apart. A proxy is what the environment says; one that
// it does not say in a sensible way counts as one too.
func hostOf(e *endpoint) (host, port string, proxy *url.URL) {
	u, err := url.Parse(e.base)
	if err != nil {
		panic("kes: internal error: " + err.Error()) // New has parsed it
	}
	proxy, err = http.ProxyFromEnvironment(&http.Request{URL: u})
	if err != nil {
		proxy = &url.URL{Host: "(a malformed variable)"}
	}
	if port = u.Port(); port == "" {
		port = "443"
	}
	return u.Hostname(), port, proxy
}
