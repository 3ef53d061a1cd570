package keserver_test

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/objseal/objseal/kms/kes/keserver"
	"github.com/objseal/objseal/kms/kes/kestest"
)

// follow opens a log and returns its lines.
func follow(t *testing.T, c client, path string) *bufio.Scanner {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), "GET", c.url+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "application/x-ndjson" {
		t.Fatalf("%s: %s %v", path, resp.Status, resp.Header)
	}
	return bufio.NewScanner(resp.Body)
}

// TestAuditLog: what changes the key store is told to everybody who follows,
// nothing else is.
func TestAuditLog(t *testing.T) {
	s := newServer(t)
	s.CreateKey("old")
	for _, h2 := range []bool{true, false} {
		c := newClient(t, s, h2, certificateOf(t, s.Admin))
		first, second := follow(t, c, "/v1/log/audit"), follow(t, c, "/v1/log/audit")
		c.gives("PUT", "/v1/key/create/a", noBody, nil)
		c.fails("PUT", "/v1/key/create/a", noBody, 400, "key already exists")
		c.gives("PUT", "/v1/key/generate/a", noBody, &message{})
		c.gives("GET", "/v1/key/describe/a", noBody, &struct{}{})
		c.gives("PUT", "/v1/key/import/b", `{"key":"`+key32+`","cipher":"AES256"}`, nil)
		c.gives("DELETE", "/v1/key/delete/a", noBody, nil)
		c.fails("DELETE", "/v1/key/delete/a", noBody, 404, "key does not exist")
		c.gives("DELETE", "/v1/key/delete/b", noBody, nil)
		for _, lines := range []*bufio.Scanner{first, second} {
			for _, path := range []string{"/v1/key/create/a", "/v1/key/import/b", "/v1/key/delete/a", "/v1/key/delete/b"} {
				var event struct {
					Time     time.Time
					Request  struct{ IP, Path, Identity string }
					Response struct {
						Code int
						Time *int
					}
				}
				if !lines.Scan() || json.Unmarshal(lines.Bytes(), &event) != nil {
					t.Fatalf("no event: %q, %v", lines.Text(), lines.Err())
				}
				if event.Request.Path != path || event.Request.Identity != s.Admin.Identity() || event.Request.IP != "127.0.0.1" ||
					event.Response.Code != 200 || event.Response.Time == nil || time.Since(event.Time) > time.Hour {
					t.Errorf("%s: %s", path, lines.Text())
				}
			}
		}
	}
}

// TestErrorLog: what the key store says goes to the log, not to the client.
func TestErrorLog(t *testing.T) {
	var text strings.Builder
	kes, err := keserver.New(&keserver.Options{KeyStore: broken{}, Log: &text})
	if err != nil {
		t.Fatal(err)
	}
	kes.ErrorLog().Print("a connection failed")
	if !strings.HasSuffix(text.String(), " a connection failed\n") {
		t.Errorf("%q", text.String())
	}

	s := kestest.NewServerWith(kestest.Options{KeyStore: broken{}})
	t.Cleanup(s.Close)
	c := admin(t, s)
	lines := follow(t, c, "/v1/log/error")
	c.fails("GET", "/v1/key/describe/a.b", noBody, 400, "key name 'a.b' is empty, too long or contains invalid characters")
	c.fails("GET", "/v1/ready", noBody, 504, "key store is not reachable")
	c.fails("PUT", "/v1/key/create/a", noBody, 502, "failed to create key")
	for _, want := range []string{"key store is not reachable: away", "failed to create key: away"} {
		var event struct{ Message string }
		if !lines.Scan() || json.Unmarshal(lines.Bytes(), &event) != nil || !strings.HasSuffix(event.Message, " "+want) {
			t.Errorf("%q, want %q: %v", lines.Text(), want, lines.Err())
		}
	}

	// Close ends streams, also those that come later, and nothing else.
	s.KES.Close()
	if lines.Scan() || lines.Err() != nil {
		t.Errorf("%q, %v", lines.Text(), lines.Err())
	}
	if lines := follow(t, c, "/v1/log/audit"); lines.Scan() {
		t.Errorf("%q", lines.Text())
	}
	c.gives("GET", "/version", noBody, &struct{}{})
}

// TestFollowersThatHang lose events; the server loses nothing.
func TestFollowersThatHang(t *testing.T) {
	s := newServer(t)
	c := admin(t, s)
	ctx, cancel := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, "GET", c.url+"/v1/log/error", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	line := strings.Repeat("x", 1<<10)
	for range 5000 { // more than all buffers on the way hold
		s.KES.ErrorLog().Print(line)
	}
	c.gives("GET", "/version", noBody, &struct{}{})
	cancel()
	if a := c.call("GET", "/v1/metrics", noBody); !strings.Contains(a.body, "\nkes_log_error_events 5000\n") {
		t.Errorf("%s", a.body)
	}
}
