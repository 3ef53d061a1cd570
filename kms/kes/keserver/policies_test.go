package keserver_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/objseal/objseal/kms/kes"
	"github.com/objseal/objseal/kms/kes/keserver"
)

// TestPoliciesAndIdentities reads back what SetAccess was given.
func TestPoliciesAndIdentities(t *testing.T) {
	s := newServer(t)
	one, two, stranger := kes.NewAPIKey(), kes.NewAPIKey(), kes.NewAPIKey()
	if err := s.KES.SetAccess(keserver.Access{Admin: s.Admin.Identity(), Policies: map[string]keserver.Policy{
		"app":   {Allow: []string{"/v1/key/create/*", "/v1/identity/self/describe"}, Deny: []string{"/v1/key/create/x"}, Identities: []string{one.Identity(), two.Identity()}},
		"app-2": {},
		"other": {Allow: []string{"/version"}},
	}}); err != nil {
		t.Fatal(err)
	}
	c := admin(t, s)
	// get reads an answer whose times are the server's start.
	get := func(c client, path string) string {
		t.Helper()
		var v map[string]any
		c.gives("GET", path, noBody, &v)
		var check func(v map[string]any)
		check = func(v map[string]any) {
			if text, ok := v["created_at"].(string); ok {
				if at, err := time.Parse(time.RFC3339Nano, text); err != nil || time.Since(at) > time.Hour || !strings.HasSuffix(text, "Z") {
					t.Errorf("%s: created at %s", path, text)
				}
				v["created_at"] = "T"
			}
			if inner, ok := v["policy"].(map[string]any); ok {
				check(inner)
			}
		}
		check(v)
		text, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return strings.NewReplacer(s.Admin.Identity(), "ADMIN", one.Identity(), "ONE").Replace(string(text))
	}
	const app = `"allow":{"/v1/identity/self/describe":{},"/v1/key/create/*":{}},"created_at":"T","created_by":"ADMIN","deny":{"/v1/key/create/x":{}},"name":"app"`
	for path, want := range map[string]string{
		"/v1/policy/describe/app":                     `{"created_at":"T","created_by":"ADMIN","name":"app"}`,
		"/v1/policy/read/app":                         `{` + app + `}`,
		"/v1/policy/read/app-2":                       `{"created_at":"T","created_by":"ADMIN","name":"app-2"}`,
		"/v1/policy/list/":                            `{"continue_at":"","names":["app","app-2","other"]}`,
		"/v1/policy/list":                             `{"continue_at":"","names":["app","app-2","other"]}`,
		"/v1/policy/list/*":                           `{"continue_at":"","names":["app","app-2","other"]}`,
		"/v1/policy/list/app":                         `{"continue_at":"","names":["app","app-2"]}`,
		"/v1/policy/list/none":                        `{"continue_at":"","names":[]}`,
		"/v1/policy/list/app-*":                       `{"continue_at":"","names":[]}`,
		"/v1/identity/describe/" + one.Identity():     `{"created_at":"T","created_by":"ADMIN","policy":"app"}`,
		"/v1/identity/describe/" + s.Admin.Identity(): `{"admin":true,"created_at":"T"}`,
		"/v1/identity/list/" + one.Identity():         `{"continue_at":"","identities":["ONE"]}`,
		"/v1/identity/list/none":                      `{"continue_at":"","identities":[]}`,
		"/v1/identity/self/describe":                  `{"admin":true,"created_at":"T","identity":"ADMIN"}`,
	} {
		if got := get(c, path); got != want {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
	}
	var all struct{ Identities []string }
	c.gives("GET", "/v1/identity/list/", noBody, &all)
	if len(all.Identities) != 3 || all.Identities[0] > all.Identities[1] || all.Identities[1] > all.Identities[2] {
		t.Errorf("identities: %q", all.Identities)
	}

	c.fails("GET", "/v1/policy/describe/none", noBody, 404, "policy does not exist")
	c.fails("GET", "/v1/policy/read/none", noBody, 404, "policy does not exist")
	c.fails("GET", "/v1/identity/describe/none", noBody, 404, "identity does not exist")
	c.fails("GET", "/v1/policy/read/a.b", noBody, 400, "policy name 'a.b' is empty, too long or contains invalid characters")
	c.fails("GET", "/v1/identity/describe/", noBody, 400, "identity '' is empty, too long or contains invalid characters")
	c.fails("GET", "/v1/policy/list/app-", noBody, 400, "listing pattern 'app-' is empty, too long or is invalid")
	c.fails("GET", "/v1/identity/list/a.b", noBody, 400, "listing pattern 'a.b' is empty, too long or is invalid")

	// Who is in a policy may ask about itself, by no rule.
	self := newClient(t, s, true, certificateOf(t, one))
	if got, want := get(self, "/v1/identity/self/describe"), `{"created_at":"T","created_by":"ADMIN","identity":"ONE","policy":{`+app+`}}`; got != want {
		t.Errorf("self: %s, want %s", got, want)
	}
	self.fails("GET", "/v1/policy/read/app", noBody, 403, "not authorized: insufficient permissions")
	newClient(t, s, true, certificateOf(t, stranger)).fails("GET", "/v1/identity/self/describe", noBody, 404, "identity does not exist")

	// Without an administrator nobody is one, and nobody made the policies.
	if err := s.KES.SetAccess(keserver.Access{Policies: map[string]keserver.Policy{"all": {Allow: []string{"*"}, Identities: []string{one.Identity()}}}}); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		"/v1/policy/describe/all": `{"created_at":"T","name":"all"}`,
		"/v1/identity/list/":      `{"continue_at":"","identities":["ONE"]}`,
	} {
		if got := get(self, path); got != want {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
	}
}
