package keserver_test

import (
	"crypto/tls"
	"crypto/x509"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/objseal/objseal/kms/kes"
	"github.com/objseal/objseal/kms/kes/keserver"
)

// deadlines is a connection that notes the deadlines it is given.
type deadlines struct {
	*httptest.ResponseRecorder
	read, write time.Time
}

func (d *deadlines) SetReadDeadline(t time.Time) error  { d.read = t; return nil }
func (d *deadlines) SetWriteDeadline(t time.Time) error { d.write = t; return nil }

// TestDeadlines: a client that neither sends nor takes what it should does not
// hold a connection for ever (KES spec section 1.2).
func TestDeadlines(t *testing.T) {
	key := kes.NewAPIKey()
	s, err := keserver.New(&keserver.Options{Access: keserver.Access{Admin: key.Identity()}})
	if err != nil {
		t.Fatal(err)
	}
	s.Close() // streams end at once
	leaf, err := x509.ParseCertificate(certificateOf(t, key).Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	for path, allowed := range map[string]time.Duration{
		"/version": 10 * time.Second, "/v1/api": 10 * time.Second, "/v1/ready": 15 * time.Second, "/v1/key/list": 15 * time.Second,
		"/v1/identity/self/describe": 15 * time.Second, "/v1/log/audit": 0, "/v1/log/error": 0,
	} {
		r := httptest.NewRequest("GET", path, nil)
		r.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{leaf}}
		w := &deadlines{ResponseRecorder: httptest.NewRecorder()}
		before := time.Now()
		s.ServeHTTP(w, r)
		after := time.Now()
		if w.Code != 200 {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
		if allowed == 0 {
			if !w.read.IsZero() || !w.write.IsZero() {
				t.Errorf("%s has a deadline", path)
			}
			continue
		}
		for _, at := range []time.Time{w.read, w.write} {
			if at.Before(before.Add(allowed)) || at.After(after.Add(allowed)) {
				t.Errorf("%s: the deadline is %s after the request", path, at.Sub(before))
			}
		}
	}
}
