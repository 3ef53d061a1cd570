package keserver_test

import (
	"crypto/tls"
	"encoding/base64"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/objseal/objseal/kms/kes/kestest"
)

func TestMetrics(t *testing.T) {
	s := newServer(t)
	c := admin(t, s)
	c.gives("PUT", "/v1/key/create/a", noBody, nil)
	c.gives("GET", "/version", noBody, &struct{}{})
	c.fails("PUT", "/v1/key/create/a", noBody, 400, "key already exists")
	c.fails("GET", "/v1/key/describe/b", noBody, 404, "key does not exist")
	a := c.call("GET", "/v1/metrics", noBody)
	if a.status != 200 || a.header.Get("Content-Type") != "text/plain; version=0.0.4; charset=utf-8; escaping=underscores" {
		t.Errorf("%d %v", a.status, a.header)
	}
	for _, line := range []string{
		`kes_http_request_success{code="200"} 2`,
		`kes_http_request_error{code="400"} 1`,
		`kes_http_request_error{code="404"} 1`,
		`kes_http_request_active 1`,
		`kes_http_response_time_bucket{le="+Inf"} 4`,
		`kes_http_response_time_count 4`,
		`kes_log_audit_events 1`,
		`kes_log_error_events 0`,
	} {
		if !strings.Contains(a.body, "\n"+line+"\n") {
			t.Errorf("no line %s", line)
		}
	}
	for _, name := range []string{"kes_http_request_failure", "kes_system_up_time", "kes_system_num_cpu", "kes_system_num_cpu_used", "kes_system_num_threads", "kes_system_mem_heap_used", "kes_system_mem_heap_objects", "kes_system_mem_stack_used"} {
		if !strings.Contains(a.body, "# TYPE "+name+" ") {
			t.Errorf("no metric %s", name)
		}
	}
	form := regexp.MustCompile(`^(# (HELP|TYPE) [a-z_]+ .+|[a-z_]+(\{[a-z]+="[^"]+"\})? [0-9.e+-]+)$`)
	for _, line := range strings.Split(strings.TrimSuffix(a.body, "\n"), "\n") {
		if !form.MatchString(line) {
			t.Errorf("not of the Prometheus format: %q", line)
		}
	}
	if t.Failed() {
		t.Log(a.body)
	}
}

func TestMetricsOfFailures(t *testing.T) {
	s := kestest.NewServerWith(kestest.Options{KeyStore: broken{}})
	t.Cleanup(s.Close)
	c := admin(t, s)
	c.fails("GET", "/v1/ready", noBody, 504, "key store is not reachable")
	if a := c.call("GET", "/v1/metrics", noBody); !strings.Contains(a.body, "\nkes_http_request_failure{code=\"504\"} 1\n") {
		t.Error(a.body)
	}
}

// TestLegacy is a server of 2023.
func TestLegacy(t *testing.T) {
	s := kestest.NewServerWith(kestest.Options{ClientAuth: tls.RequestClientCert, Legacy: true})
	t.Cleanup(s.Close)
	s.CreateKey("a")
	c := admin(t, s)
	if a := c.call("PUT", "/v1/key/hmac/a", `{"message":"aGVsbG8="}`); a.status != http.StatusNotFound || a.body != "404 page not found\n" {
		t.Errorf("HMAC: %d %q", a.status, a.body)
	}
	var sealed message
	c.gives("PUT", "/v1/key/encrypt/a", "{}", &sealed)
	if a := c.call("PUT", "/v1/key/decrypt/a", `{"ciphertext":"`+base64.StdEncoding.EncodeToString(sealed.Ciphertext)+`"}`); a.body != `{"plaintext":null}`+"\n" {
		t.Errorf("empty plaintext: %q", a.body)
	}
	if a := c.call("GET", "/v1/metrics", noBody); a.header.Get("Content-Type") != "text/plain; version=0.0.4; charset=utf-8" {
		t.Errorf("metrics: %v", a.header)
	}
	if a := c.call("GET", "/v1/api", noBody); strings.Contains(a.body, "hmac") {
		t.Error("it says that it serves HMACs")
	}
}
