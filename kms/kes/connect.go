package kes

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"time"
)

// newTLSConfig returns how to meet a server: with creds' certificate, read anew
// for every connection.
func newTLSConfig(creds Credentials, roots *x509.CertPool) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		RootCAs:    roots,
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return creds.Certificate()
		},
	}
}

func newHTTPClient(config *tls.Config, tryTimeout time.Duration) *http.Client {
	// The end of a try comes first and says how long it was; these end a dial
	// that nobody waits for any more.
	connectTimeout := tryTimeout + time.Second
	dialer := &net.Dialer{Timeout: connectTimeout, KeepAlive: 30 * time.Second}
	return &http.Client{
		Transport: &http.Transport{
			Proxy:                  http.ProxyFromEnvironment, // as everything in Go; never for loopback
			DialContext:            dialer.DialContext,
			TLSClientConfig:        config,
			ForceAttemptHTTP2:      true,
			TLSHandshakeTimeout:    connectTimeout,
			MaxIdleConns:           100,
			MaxIdleConnsPerHost:    32, // of HTTP/1.1; one HTTP/2 connection carries all
			IdleConnTimeout:        90 * time.Second,
			MaxResponseHeaderBytes: 64 << 10,
			DisableCompression:     true,
			// A connection that died without a word would otherwise get one
			// request after the other.
			HTTP2: &http.HTTP2Config{SendPingTimeout: tryTimeout / 2, PingTimeout: tryTimeout / 2},
		},
		CheckRedirect: checkRedirect,
	}
}

// checkRedirect follows a server to another spelling of the path (KES spec
// section 1.1), never to another server, and never with a body.
func checkRedirect(req *http.Request, via []*http.Request) error {
	first := via[0]
	if len(via) > 3 || first.Method != http.MethodGet || req.URL.Scheme != first.URL.Scheme || req.URL.Host != first.URL.Host {
		return http.ErrUseLastResponse
	}
	return nil
}

// isOpaque reports whether an error may hide that the server refused the client
// certificate. In TLS 1.3 it says so when the handshake is over for the client,
// and net/http may have noticed only that the connection is gone.
func isOpaque(err error) bool {
	var op *net.OpError
	switch {
	case errors.As(err, &op):
		return op.Op == "read" || op.Op == "write"
	case errors.As(err, new(*tls.CertificateVerificationError)):
		return false
	}
	return true
}

// refusal connects once more and waits for the server's first word, which in
// HTTP/2 it says unasked. It returns the TLS alert if that is it, else err.
func (b *Backend) refusal(ctx context.Context, e *endpoint, err error) error {
	host, port, proxy := hostOf(e)
	if proxy != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, b.tryTimeout)
	defer cancel()
	dialed, dialErr := (&tls.Dialer{Config: b.handshake()}).DialContext(ctx, "tcp", net.JoinHostPort(host, port))
	if dialErr != nil {
		return alertOr(dialErr, err)
	}
	conn := dialed.(*tls.Conn)
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.SetReadDeadline(time.Unix(1, 0)) })()
	if conn.ConnectionState().NegotiatedProtocol != "h2" {
		return err
	}
	_, readErr := io.ReadFull(conn, make([]byte, 1))
	return alertOr(readErr, err)
}

func alertOr(found, otherwise error) error {
	if _, ok := remoteAlert(found); ok {
		return found
	}
	return otherwise
}
