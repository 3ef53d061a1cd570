package main

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/objseal/objseal/kms/kes/keserver"
)

const (
	identityA = "a050837d85070582ccf7394b0988847cc312cb88259b894899f6f239cf1791a5"
	identityB = "b050837d85070582ccf7394b0988847cc312cb88259b894899f6f239cf1791a5"
)

func TestParsePolicy(t *testing.T) {
	for name, test := range map[string]struct {
		text  string
		admin string
		names []string
	}{
		"first":      {text: string(firstPolicy(identityA)), names: []string{"client"}},
		"empty":      {},
		"comment":    {text: "# nobody\n"},
		"admin":      {text: "admin:\n  identity: " + identityA + "\n", admin: identityA},
		"no admin":   {text: "admin:\n  identity: disabled\npolicy: {}\n"},
		"empty name": {text: "admin: {identity: ''}\n"},
		"JSON":       {text: `{"admin":{"identity":"` + identityA + `"},"policy":{"p":{"allow":["/v1/*"],"deny":["*"],"identities":["` + identityB + `"]}}}`, admin: identityA, names: []string{"p"}},
		"two":        {text: "policy:\n  q: {}\n  p:\n    allow: [/version, '*', /v1/key/create/a*]\n", names: []string{"p", "q"}},
	} {
		for _, isJSON := range []bool{false, true} {
			if isJSON && name != "JSON" {
				continue
			}
			access, err := parsePolicy([]byte(test.text), isJSON)
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			if access.Admin != test.admin || !slices.Equal(slices.Sorted(maps.Keys(access.Policies)), test.names) {
				t.Errorf("%s: %+v", name, access)
			}
			if _, err := keserver.New(&keserver.Options{Access: access}); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	access, err := parsePolicy([]byte("policy:\n  p:\n    allow: [/a, /b*]\n    deny: [/c]\n    identities: ["+identityA+"]\n"), false)
	if p := access.Policies["p"]; err != nil || !slices.Equal(p.Allow, []string{"/a", "/b*"}) || !slices.Equal(p.Deny, []string{"/c"}) || !slices.Equal(p.Identities, []string{identityA}) {
		t.Errorf("%+v, %v", access, err)
	}
}

func TestParsePolicyRefuses(t *testing.T) {
	for name, text := range map[string]string{
		"not YAML":          "{",
		"a list":            "- a\n",
		"unknown section":   "keystore: {}\n",
		"unknown field":     "policy:\n  p:\n    allowed: [/a]\n",
		"twice":             "policy:\n  p: {}\n  p: {}\n",
		"two documents":     "policy: {}\n---\npolicy: {}\n",
		"star inside":       "policy:\n  p:\n    allow: [/a/*/b]\n",
		"two stars":         "policy:\n  p:\n    deny: [/a**]\n",
		"relative rule":     "policy:\n  p:\n    allow: [v1/status]\n",
		"empty rule":        "policy:\n  p:\n    allow: ['']\n",
		"short identity":    "policy:\n  p:\n    identities: [abcd]\n",
		"upper case":        "policy:\n  p:\n    identities: [" + strings.ToUpper(identityA) + "]\n",
		"API key":           "admin:\n  identity: kes:v1:SECRETSECRET\n",
		"API key, as rules": "policy:\n  p:\n    identities: kes:v1:SECRETSECRET\n",
		"too long":          strings.Repeat("#", maxPolicy+1),
	} {
		if _, err := parsePolicy([]byte(text), false); err == nil || strings.Contains(err.Error(), "SECRET") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, text := range map[string]string{
		"empty": "", "unknown section": `{"keystore":{}}`, "data behind": `{} {}`, "a list": `[]`,
	} {
		if _, err := parsePolicy([]byte(text), true); err == nil {
			t.Errorf("JSON, %s: no error", name)
		}
	}
}

// FuzzParsePolicy: what parses is what a server takes or refuses, and its rules
// are all of the one form that they can have.
func FuzzParsePolicy(f *testing.F) {
	seeds, err := filepath.Glob(filepath.Join("testdata", "policies", "*"))
	if err != nil || len(seeds) == 0 {
		f.Fatal(err)
	}
	for _, seed := range seeds {
		text, err := os.ReadFile(seed)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text, filepath.Ext(seed) == ".json")
	}
	f.Fuzz(func(t *testing.T, text []byte, isJSON bool) {
		access, err := parsePolicy(text, isJSON)
		if err != nil {
			return
		}
		for _, p := range access.Policies {
			for _, rule := range slices.Concat(p.Allow, p.Deny) {
				if strings.Contains(strings.TrimSuffix(rule, "*"), "*") || rule != "*" && rule[0] != '/' {
					t.Fatalf("rule %q", rule)
				}
			}
		}
		keserver.New(&keserver.Options{Access: access})
	})
}
