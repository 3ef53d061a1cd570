package selfsigned_test

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/objseal/objseal/internal/selfsigned"
)

// A client that has the certificate trusts the server by the names in it, and
// by no other.
func TestNew(t *testing.T) {
	cert, key, err := selfsigned.New([]string{"localhost", "127.0.0.1"}, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	if pair.Leaf.IsCA {
		t.Error("the certificate is an authority's")
	}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "hello") }))
	server.TLS = &tls.Config{Certificates: []tls.Certificate{pair}}
	server.StartTLS()
	defer server.Close()
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(cert) {
		t.Fatal("no certificate in the PEM")
	}
	for name, ok := range map[string]bool{"127.0.0.1": true, "localhost": true, "::1": false, "example.com": false} {
		c, err := tls.Dial("tcp", server.Listener.Addr().String(), &tls.Config{RootCAs: roots, ServerName: name})
		if err == nil {
			c.Close()
		}
		if (err == nil) != ok {
			t.Errorf("%s: %v, trusted should be %v", name, err, ok)
		}
	}
}

func TestNoHost(t *testing.T) {
	if _, _, err := selfsigned.New(nil, time.Hour); err == nil {
		t.Error("a certificate for nobody")
	}
}
