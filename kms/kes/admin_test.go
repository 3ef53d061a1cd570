package kes_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/objseal/objseal/kms"
	"github.com/objseal/objseal/kms/kes"
	"github.com/objseal/objseal/kms/kes/keserver"
	"github.com/objseal/objseal/kms/kes/kestest"
)

// importVector are key, data key and context of KES spec section 5.6.
var (
	importKey  = sequence(0)
	vectorDEK  = sequence(0x80)
	vectorAD   = kms.AssociatedData{"bucket": "bucket/object"}
	vectorsRaw = map[string]string{
		"AES256":   "a44YORDKPEeBkCt0jQW1/t8DikQCzy0SqUpusnra0/drXZWy/cOv/kUCXqoV4pLVQEFCQ0RFRkdISUpLTE1OT2BhYmNkZWZnaGlqaw==",
		"ChaCha20": "cr3KPJWrbOTMDy3LwIc46k/szH+nHovyGvHFowUu+6tdxYKmMBTgZQpgLWSu4GntQEFCQ0RFRkdISUpLTE1OT2BhYmNkZWZnaGlqaw==",
	}
)

func sequence(from byte) []byte {
	b := make([]byte, 32)
	for i := range b {
		b[i] = from + byte(i)
	}
	return b
}

// TestImportKey: a key that came from elsewhere opens what it sealed there.
func TestImportKey(t *testing.T) {
	b, s := start(t, 1, kestest.Options{})
	client := kms.NewClient(b, nil)
	for algorithm, sealed := range vectorsRaw {
		name := "imported-" + algorithm
		if err := client.ImportKey(t.Context(), name, importKey, algorithm); err != nil {
			t.Fatal(err)
		}
		var ciphertext []byte
		if err := json.Unmarshal([]byte(`"`+sealed+`"`), &ciphertext); err != nil {
			t.Fatal(err)
		}
		if key, err := client.Decrypt(t.Context(), name, ciphertext, vectorAD); err != nil || !slices.Equal(key.Bytes(), vectorDEK) {
			t.Errorf("%s: %v, or another data key", algorithm, err)
		}
		if err := client.ImportKey(t.Context(), name, importKey, algorithm); !errors.Is(err, kms.ErrKeyExists) {
			t.Errorf("%s: imported twice: %v", algorithm, err)
		}
	}
	if err := client.ImportKey(t.Context(), "default", importKey, ""); err != nil {
		t.Error(err)
	}
	if info, err := client.DescribeKey(t.Context(), "default"); err != nil || info.Algorithm != "AES256" {
		t.Errorf("%+v, %v", info, err)
	}
	// Both generations find their fields in one request (KES spec section 1.8).
	var body map[string]any
	if err := json.Unmarshal(s[0].Requests("/v1/key/import/imported-ChaCha20")[0].Body, &body); err != nil {
		t.Fatal(err)
	}
	if body["cipher"] != "ChaCha20" || body["algorithm"] != "XCHACHA20-POLY1305" || body["key"] == nil || body["key"] != body["bytes"] {
		t.Error("the request is not for all generations")
	}

	before := s[0].Count("")
	for n, want := range map[int]error{0: kms.ErrKeySize, 31: kms.ErrKeySize, 33: kms.ErrKeySize} {
		if err := client.ImportKey(t.Context(), "key-9", make([]byte, n), ""); !errors.Is(err, want) {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
	if err := client.ImportKey(t.Context(), "key-9", importKey, "DES"); !errors.Is(err, kms.ErrUnsupported) {
		t.Errorf("DES: %v", err)
	}
	if s[0].Count("") != before {
		t.Error("a server was asked for what none can do")
	}
}

func TestDeleteKey(t *testing.T) {
	b, s := start(t, 1, kestest.Options{HTTP1: true})
	client := kms.NewClient(b, nil)
	if err := client.DeleteKey(t.Context(), "key-2"); err != nil {
		t.Fatal(err)
	}
	if r := s[0].Requests("")[0]; r.Method != http.MethodDelete || r.Path != "/v1/key/delete/key-2" {
		t.Errorf("%s %s", r.Method, r.Path)
	}
	if err := client.DeleteKey(t.Context(), "key-2"); !errors.Is(err, kms.ErrKeyNotFound) || errors.Is(err, kes.ErrAnswerLost) {
		t.Errorf("deleted twice: %v", err)
	}
	s[0].Inject("", 1, kestest.LoseAnswer)
	if err := client.DeleteKey(t.Context(), "key-1"); !errors.Is(err, kms.ErrKeyNotFound) || !errors.Is(err, kes.ErrAnswerLost) {
		t.Errorf("answer lost: %v", err)
	}
}

func TestHMAC(t *testing.T) {
	b, s := start(t, 1, kestest.Options{})
	hmacKey := sequence(0)
	slices.Reverse(hmacKey)
	secret, err := keserver.NewSecret(hmacKey)
	if err != nil {
		t.Fatal(err)
	}
	// KES spec section 6.1.
	s[0].PutKey("vector", keserver.Key{Secret: secret, HMAC: secret, Algorithm: "AES256"})
	mac, err := b.HMAC(t.Context(), "vector", []byte("hello"))
	if err != nil || base64.StdEncoding.EncodeToString(mac) != "oyQdSEB+Bd1RAOFKAl26J5WwuYTZ7BFMHDhtuDCytrI=" {
		t.Errorf("%x, %v", mac, err)
	}
	s[0].PutKey("old", keserver.Key{Secret: secret, Algorithm: "AES256"})
	if _, err := b.HMAC(t.Context(), "old", nil); !errors.Is(err, kms.ErrUnsupported) {
		t.Errorf("a key of before 2024: %v", err)
	}
	s[0].Inject("", 1, kestest.Answer(404, "text/plain; charset=utf-8", "404 page not found\n"))
	if _, err := b.HMAC(t.Context(), "vector", nil); !errors.Is(err, kms.ErrUnsupported) {
		t.Errorf("a server of before 2024: %v", err)
	}
}

func TestReady(t *testing.T) {
	b, s := start(t, 1, kestest.Options{})
	if err := b.Ready(t.Context()); err != nil {
		t.Error(err)
	}
	s[0].Inject("", 1, kestest.Status(504, "key store is not reachable"))
	if err := b.Ready(t.Context()); !errors.Is(err, kes.ErrKeyStore) || !errors.Is(err, kms.ErrUnreachable) {
		t.Errorf("no key store: %v", err)
	}
	s[0].Inject("", -1, kestest.Answer(504, "text/html", "<html>"))
	if err := b.Ready(t.Context()); errors.Is(err, kes.ErrKeyStore) || !errors.Is(err, kms.ErrUnreachable) {
		t.Errorf("a proxy without a server: %v", err)
	}
}

// TestKeyStoreDown: the message does not say that the server is unreachable.
func TestKeyStoreDown(t *testing.T) {
	b, s := start(t, 1, kestest.Options{})
	s[0].Inject("", 1, kestest.Status(502, "failed to read key"))
	_, err := b.GenerateKey(t.Context(), "key-1", nil)
	if !errors.Is(err, kms.ErrUnreachable) || !errors.Is(err, kes.ErrKeyStore) || strings.Contains(err.Error(), "unreachable") {
		t.Error(err)
	}
}

func TestAPIs(t *testing.T) {
	b, s := start(t, 1, kestest.Options{})
	list, err := b.APIs(t.Context())
	if err != nil || !slices.Contains(list, kes.API{Method: "PUT", Path: "/v1/key/generate/", MaxBody: 1_000_000, Timeout: 15 * time.Second}) {
		t.Errorf("%v, %v", list, err)
	}
	s[0].Inject("", 1, kestest.Answer(200, "application/json", `[{"method":"\u001b","path":"/z"},{"path":"/a"}]`))
	if list, err = b.APIs(t.Context()); err != nil || len(list) != 2 || list[0].Path != "/a" || list[1].Method != `\x1b` {
		t.Errorf("%v, %v", list, err)
	}
}

func TestMetrics(t *testing.T) {
	b, s := start(t, 3, kestest.Options{})
	s[0].Inject("", -1, kestest.Drop)
	s[1].Inject("", -1, kestest.Answer(200, "text/plain; version=0.0.4; charset=utf-8", "kes_log_audit_events 1\n"))
	s[2].Inject("", -1, kestest.Answer(200, "text/plain", "\xff\x1b[2J\n"))
	all, err := b.Metrics(t.Context())
	if err != nil || len(all) != 3 || !errors.Is(all[0].Err, kms.ErrUnreachable) || all[1].Text != "kes_log_audit_events 1\n" || all[2].Text != "\ufffd\ufffd[2J\n" || all[2].Endpoint != s[2].URL {
		t.Errorf("%+v, %v", all, err)
	}
	if accept := s[1].Requests("")[0].Header.Get("Accept"); !strings.HasPrefix(accept, "text/plain") {
		t.Errorf("Accept: %s", accept)
	}
}

func TestPolicies(t *testing.T) {
	b, s := start(t, 1, kestest.Options{})
	const head = `"name":"app","created_at":"2023-11-14T22:13:20Z","created_by":"admin"`
	s[0].Inject("/v1/policy/describe/app", 1, kestest.Answer(200, "application/json", `{`+head+`}`))
	s[0].Inject("/v1/policy/read/app", 1, kestest.Answer(200, "application/json", `{`+head+`,"allow":{"/v1/key/generate/app-*":{},"/v1/key/create/\u001b":{}},"deny":{"/v1/status":{}}}`))
	s[0].Inject("/v1/policy/list/*", 1, kestest.Answer(200, "application/json", `{"names":["app","other"],"continue_at":""}`))
	want := kes.Policy{Name: "app", CreatedAt: time.Unix(1700000000, 0).UTC(), CreatedBy: "admin"}
	if p, err := b.DescribePolicy(t.Context(), "app"); err != nil || fmt.Sprint(p) != fmt.Sprint(want) {
		t.Errorf("%+v, %v", p, err)
	}
	want.Allow, want.Deny = []string{`/v1/key/create/\x1b`, "/v1/key/generate/app-*"}, []string{"/v1/status"}
	if p, err := b.ReadPolicy(t.Context(), "app"); err != nil || fmt.Sprint(p) != fmt.Sprint(want) {
		t.Errorf("%+v, %v", p, err)
	}
	if names, err := b.ListPolicies(t.Context(), ""); err != nil || !slices.Equal(names, []string{"app", "other"}) {
		t.Errorf("%v, %v", names, err)
	}
	// An older server: one object a line.
	s[0].Inject("/v1/policy/list/", 1, kestest.Answer(200, "application/x-ndjson", "{\"name\":\"app\"}\n{\"name\":\"other\"}\n"))
	if names, err := b.ListPolicies(t.Context(), "*"); err != nil || !slices.Equal(names, []string{"app", "other"}) {
		t.Errorf("older: %v, %v", names, err)
	}
}

func TestIdentities(t *testing.T) {
	b, s := start(t, 1, kestest.Options{})
	id := kes.NewAPIKey().Identity()
	for answer, want := range map[string]kes.IdentityInfo{
		`{"admin":true,"created_at":"0001-01-01T00:00:00Z"}`: {Admin: true},
		`{"policy":"app","created_by":"admin"}`:              {Policy: "app", CreatedBy: "admin"},
		`{"policy":null}`:                                    {},
	} {
		s[0].Inject("/v1/identity/describe/"+id, 1, kestest.Answer(200, "application/json", answer))
		want.Identity = id
		if info, err := b.DescribeIdentity(t.Context(), id); err != nil || info != want {
			t.Errorf("%s: %+v, %v", answer, info, err)
		}
	}
	s[0].Inject("/v1/identity/self/describe", 1, kestest.Answer(200, "application/json", `{"identity":"`+id+`","policy":{"name":"app","allow":{"/v1/status":{}}}}`))
	info, policy, err := b.DescribeSelf(t.Context())
	if err != nil || info.Identity != id || info.Policy != "app" || !slices.Equal(policy.Allow, []string{"/v1/status"}) {
		t.Errorf("%+v, %+v, %v", info, policy, err)
	}
	s[0].Inject("/v1/identity/self/describe", 1, kestest.Status(404, "identity does not exist"))
	if _, _, err := b.DescribeSelf(t.Context()); !errors.Is(err, kes.ErrIdentityNotFound) {
		t.Error(err)
	}
	s[0].Inject("/v1/identity/list/", 1, kestest.Answer(200, "application/json", `{"identities":["`+id+`"],"continue_at":""}`))
	if list, err := b.ListIdentities(t.Context(), id[:3]); err != nil || !slices.Equal(list, []string{id}) {
		t.Errorf("%v, %v", list, err)
	}
	s[0].Inject("/v1/identity/list/", 1, kestest.Answer(200, "application/x-ndjson", `{"identity":"`+id+`"}`))
	if list, err := b.ListIdentities(t.Context(), ""); err != nil || !slices.Equal(list, []string{id}) {
		t.Errorf("older: %v, %v", list, err)
	}
	if b.Identity() != s[0].Admin.Identity() {
		t.Error("another identity than the administrator's")
	}
}

// lines is a log that stays open.
func lines(text ...string) kestest.Fault {
	return func(w http.ResponseWriter, r *http.Request, s *kestest.Server) {
		w.Header().Set("Content-Type", "application/x-ndjson")
		for _, l := range text {
			w.Write([]byte(l + "\n"))
			http.NewResponseController(w).Flush()
		}
		kestest.Hang(w, r, s)
	}
}

const auditLine = `{"time":"2023-11-14T22:13:20Z","request":{"ip":"127.0.0.1","path":"/v1/key/create/app-1","identity":"abc"},"response":{"code":200,"time":12}}`

// TestLogs merges what servers tell, of which one fails, one says nothing at
// all, and all go on for ever; and ends with the context, without an error.
func TestLogs(t *testing.T) {
	for protocol, o := range protocols {
		t.Run(protocol, func(t *testing.T) {
			b, s := start(t, 3, o)
			s[0].Inject("/v1/log/audit", 1, lines(auditLine, "", auditLine))
			s[1].Inject("/v1/log/audit", 1, kestest.Hang)
			s[2].Inject("/v1/log/audit", 1, kestest.Status(403, "no"))
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			events, failures := 0, 0
			for event, err := range b.AuditLog(ctx) {
				if err != nil {
					failures++
					if !errors.Is(err, kms.ErrNotPermitted) || !strings.Contains(err.Error(), s[2].URL) {
						t.Error(err)
					}
				} else if events++; event != (kes.AuditEvent{
					Endpoint: s[0].URL, Time: time.Unix(1700000000, 0).UTC(), IP: "127.0.0.1", Path: "/v1/key/create/app-1",
					Identity: "abc", Status: 200, Duration: 12 * time.Millisecond,
				}) {
					t.Errorf("%+v", event)
				}
				if events == 2 && failures == 1 {
					cancel() // the silent server ends the loop, or it never ends
				}
			}
			if events != 2 || failures != 1 {
				t.Errorf("%d events, %d failures", events, failures)
			}
		})
	}
}

func TestErrorLog(t *testing.T) {
	b, s := start(t, 1, kestest.Options{})
	s[0].Inject("/v1/log/error", 1, kestest.Answer(404, "text/plain", "404 page not found\n")) // before v0.17
	s[0].Inject("/v1/log/error/trace", 1, lines(`{"message":"first\n\u001b[2J"}`, `{"message":"second"}`))
	for event, err := range b.ErrorLog(t.Context()) {
		if err != nil || event.Message != `first\n\x1b[2J` || event.Endpoint != s[0].URL {
			t.Errorf("%+v, %v", event, err)
		}
		break // ends everything
	}
}

// TestHostileLogs: a log that is none ends, and says why.
func TestHostileLogs(t *testing.T) {
	for what, fault := range map[string]kestest.Fault{
		"endless line": func(w http.ResponseWriter, _ *http.Request, _ *kestest.Server) {
			for range 1000 {
				if _, err := w.Write([]byte(strings.Repeat(" ", 1<<10))); err != nil {
					return
				}
			}
		},
		"not JSON":  lines("<html>"),
		"a number":  lines("1"),
		"no object": kestest.Answer(200, "application/x-ndjson", `{"message":`),
		"ends":      kestest.Answer(200, "application/x-ndjson", ""),
		"drops":     kestest.Drop,
	} {
		b, s := start(t, 1, kestest.Options{HTTP1: true})
		s[0].Inject("", -1, fault)
		n := 0
		for _, err := range b.ErrorLog(t.Context()) {
			if n++; n > 1 || !errors.Is(err, kms.ErrUnreachable) || len(err.Error()) > 1000 {
				t.Errorf("%s: %v", what, err)
			}
		}
		if n != 1 {
			t.Errorf("%s: it ended %d times", what, n)
		}
	}
}
