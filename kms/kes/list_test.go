package kes_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/objseal/objseal/kms"
	"github.com/objseal/objseal/kms/kes/keserver"
	"github.com/objseal/objseal/kms/kes/kestest"
)

func putNames(s *kestest.Server, names []string) {
	for _, name := range names {
		s.PutKey(name, keserver.Key{})
	}
}

// withPrefix returns the names that begin with prefix, sorted.
func withPrefix(names []string, prefix string) []string {
	names = slices.DeleteFunc(slices.Clone(names), func(n string) bool { return !strings.HasPrefix(n, prefix) })
	slices.Sort(names)
	return names
}

// TestListKeys compares with what is in the store, for stores that a server
// does not list in one answer.
func TestListKeys(t *testing.T) {
	few := []string{"a", "app", "app-1", "app-2", "app_1", "b", "_x", "Z"}
	numbers := func(prefix string, n int) (names []string) {
		for i := range n {
			names = append(names, fmt.Sprintf("%s%d", prefix, i))
		}
		return names
	}
	random := rand.New(rand.NewPCG(1, 2))
	var wild []string
	seen := make(map[string]bool)
	for len(wild) < 3000 {
		const alphabet = "--__09AZaz"
		name := "k"
		for range 1 + random.IntN(12) {
			name += string(alphabet[random.IntN(len(alphabet))])
		}
		if name = strings.TrimRight(name, "-"); !seen[name] {
			seen[name] = true
			wild = append(wild, name)
		}
	}
	for what, test := range map[string]struct {
		names    []string
		prefixes []string
	}{
		"none":                    {nil, []string{"", "a"}},
		"few":                     {few, []string{"", "a", "app", "app-", "app-1", "app_", "_", "_x", "none", "app--", "Z"}},
		"1024":                    {numbers("app-", 1024), []string{"", "app-", "app-1"}},
		"1025":                    {numbers("app-", 1025), []string{"", "app", "app-", "app-1"}},
		"2500 of one prefix":      {append(numbers("app-", 2500), "app", "app_1", "b", "_x"), []string{"", "app", "app-", "app-1", "b", "_"}},
		"dashes":                  {append(numbers("a---", 2000), numbers("a-", 50)...), []string{"", "a", "a-", "a--", "a---", "a---1"}},
		"underscores":             {slices.Concat(numbers("A", 1100), numbers("_", 1100), numbers("__", 10), numbers("_-", 5), numbers("_--", 5), numbers("a", 10)), []string{"", "_", "__", "_-", "_--", "a"}},
		"names as long as can be": {append(numbers(strings.Repeat("x", 76), 1500), strings.Repeat("x", 80)), []string{"", "x", strings.Repeat("x", 76), strings.Repeat("x", 80)}},
		"wild":                    {wild, []string{"", "k", "k-", "k--", "k_", "k0", "kz"}},
	} {
		t.Run(what, func(t *testing.T) {
			b, s := start(t, 1, kestest.Options{KeyStore: keserver.NewMemory()})
			for _, name := range []string{"key-1", "key-2"} {
				if err := s[0].Keys.Delete(t.Context(), name); err != nil {
					t.Fatal(err)
				}
			}
			putNames(s[0], test.names)
			for _, prefix := range test.prefixes {
				want := withPrefix(test.names, prefix)
				got, err := b.ListKeys(t.Context(), prefix)
				if err != nil || !slices.Equal(got, want) {
					t.Errorf("%q: %d names, %v, want %d", prefix, len(got), err, len(want))
				}
			}
			t.Logf("%d names, %d requests", len(test.names), s[0].Count(""))
		})
	}
}

// oldServer lists as servers did until 2023: names that match a glob, one a
// line.
func oldServer(names []string) kestest.Fault {
	return func(w http.ResponseWriter, r *http.Request, _ *kestest.Server) {
		pattern := strings.TrimPrefix(r.URL.Path, "/v1/key/list/")
		prefix, glob := strings.CutSuffix(pattern, "*")
		w.Header().Set("Content-Type", "application/x-ndjson")
		for _, name := range names {
			if name == pattern || glob && strings.HasPrefix(name, prefix) {
				json.NewEncoder(w).Encode(map[string]string{"name": name, "algorithm": "AES256-GCM_SHA256", "created_by": "x"})
			}
		}
	}
}

func TestListKeysOfOldServer(t *testing.T) {
	b, s := start(t, 1, kestest.Options{})
	names := []string{"b", "app-2", "app-1", "app", "a"}
	s[0].Inject("/v1/key/list", -1, oldServer(names))
	for _, prefix := range []string{"", "*", "a", "app", "app-", "app-1", "app-*", "none"} {
		want := withPrefix(names, strings.TrimSuffix(prefix, "*"))
		if got, err := b.ListKeys(t.Context(), prefix); err != nil || !slices.Equal(got, want) {
			t.Errorf("%q: %q, %v, want %q", prefix, got, err, want)
		}
	}
	s[0].Heal()
	s[0].Inject("/v1/key/list", -1, kestest.Answer(200, "application/x-ndjson", "{\"name\":\"a\"}\n{\"error\":\"failed to list keys\"}\n"))
	if got, err := b.ListKeys(t.Context(), ""); err == nil || !strings.Contains(err.Error(), "failed to list keys") {
		t.Errorf("an error at the end: %q, %v", got, err)
	}
	s[0].Heal()
	s[0].Inject("/v1/key/list", -1, kestest.Answer(200, "application/x-ndjson", "{\"name\":\"a\"}\n{\"name\":"))
	if got, err := b.ListKeys(t.Context(), ""); err == nil {
		t.Errorf("cut: %q", got)
	}
	s[0].Heal()
	s[0].Inject("/v1/key/list", -1, kestest.Answer(200, "application/x-ndjson", ""))
	if got, err := b.ListKeys(t.Context(), ""); err != nil || len(got) != 0 {
		t.Errorf("empty: %q, %v", got, err)
	}
}

// TestListKeysHostile: foreign names are left out, and a listing ends.
func TestListKeysHostile(t *testing.T) {
	b, s := start(t, 1, kestest.Options{})
	s[0].Inject("", -1, kestest.Answer(200, "application/json", `{"names":["../a","","a\u001b","b/c","good","good","-x",".hidden"]}`))
	if got, err := b.ListKeys(t.Context(), ""); err != nil || !slices.Equal(got, []string{"good"}) {
		t.Errorf("%q, %v", got, err)
	}
	for what, names := range map[string]string{"no names": "", "one": `"a"`, "what sorts last": `"zzzz"`, "no name": `"\uffff"`} {
		b, s := start(t, 1, kestest.Options{})
		s[0].Inject("", -1, kestest.Answer(200, "application/json", fmt.Sprintf(`{"names":[%s],"continue_at":"a"}`, names)))
		if got, err := b.ListKeys(t.Context(), "p"); !errors.Is(err, kms.ErrUnreachable) {
			t.Errorf("%s: %d names, %v", what, len(got), err)
		}
		if n := s[0].Count(""); n != 1 {
			t.Errorf("%s: %d requests", what, n)
		}
	}
	b, s = start(t, 1, kestest.Options{})
	s[0].Inject("", -1, func(w http.ResponseWriter, r *http.Request, s *kestest.Server) {
		name := strings.TrimSuffix(strings.TrimPrefix(r.URL.Path, "/v1/key/list/"), "*") + "-0"
		kestest.Answer(200, "application/json", fmt.Sprintf(`{"names":[%q],"continue_at":"a"}`, name))(w, r, s)
	})
	if got, err := b.ListKeys(t.Context(), "p"); err == nil {
		t.Errorf("a listing without end: %d names", len(got))
	}
	t.Logf("a listing without end: %d requests", s[0].Count(""))
}

func TestListKeysRedirect(t *testing.T) {
	for _, status := range []int{http.StatusMovedPermanently, http.StatusTemporaryRedirect} {
		b, s := start(t, 1, kestest.Options{})
		s[0].Inject("", 1, func(w http.ResponseWriter, r *http.Request, _ *kestest.Server) {
			http.Redirect(w, r, "/v1/key/list/", status)
		})
		if got, err := b.ListKeys(t.Context(), ""); err != nil || !slices.Equal(got, []string{"key-1", "key-2"}) {
			t.Errorf("%d: %q, %v", status, got, err)
		}
		if n := s[0].Count(""); n != 2 {
			t.Errorf("%d requests", n)
		}
	}
}
