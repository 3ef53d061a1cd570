package keserver

import (
	"maps"
	"slices"
	"strings"
	"time"
)

// Policies and identities are read only: they come with Access. Their age is
// the server's (KES spec section 1.3).

type policyInfo struct {
	Name      string              `json:"name,omitempty"`
	CreatedAt time.Time           `json:"created_at"`
	CreatedBy string              `json:"created_by,omitempty"`
	Allow     map[string]struct{} `json:"allow,omitempty"`
	Deny      map[string]struct{} `json:"deny,omitempty"`
}

type identityInfo struct {
	Identity  string    `json:"identity,omitempty"`
	Admin     bool      `json:"admin,omitempty"`
	Policy    any       `json:"policy,omitempty"` // its name, or all of it
	CreatedAt time.Time `json:"created_at"`
	CreatedBy string    `json:"created_by,omitempty"`
}

func (s *Server) policy(r *request, name string) policyInfo {
	p := r.access.Policies[name]
	return policyInfo{name, s.start, r.access.Admin, ruleSet(p.Allow), ruleSet(p.Deny)}
}

func ruleSet(rules []string) map[string]struct{} {
	set := make(map[string]struct{}, len(rules))
	for _, rule := range rules {
		set[rule] = struct{}{}
	}
	return set
}

func (s *Server) describePolicy(r *request) (any, error) {
	if _, ok := r.access.Policies[r.name]; !ok {
		return nil, errNoPolicy
	}
	return policyInfo{Name: r.name, CreatedAt: s.start, CreatedBy: r.access.Admin}, nil
}

func (s *Server) readPolicy(r *request) (any, error) {
	if _, ok := r.access.Policies[r.name]; !ok {
		return nil, errNoPolicy
	}
	return s.policy(r, r.name), nil
}

func (s *Server) listPolicies(r *request) (any, error) {
	names := withPrefix(slices.Sorted(maps.Keys(r.access.Policies)), r.name)
	return struct {
		Names      []string `json:"names"`
		ContinueAt string   `json:"continue_at"`
	}{names, ""}, nil
}

func (s *Server) describeIdentity(r *request) (any, error) {
	if r.name == r.access.Admin {
		return identityInfo{Admin: true, CreatedAt: s.start}, nil
	}
	policy, ok := r.access.of[r.name]
	if !ok {
		return nil, errNoIdentity
	}
	return identityInfo{Policy: policy, CreatedAt: s.start, CreatedBy: r.access.Admin}, nil
}

func (s *Server) listIdentities(r *request) (any, error) {
	ids := slices.Collect(maps.Keys(r.access.of))
	if r.access.Admin != "" {
		ids = append(ids, r.access.Admin)
	}
	slices.Sort(ids)
	return struct {
		Identities []string `json:"identities"`
		ContinueAt string   `json:"continue_at"`
	}{withPrefix(ids, r.name), ""}, nil
}

// describeSelf tells who is not the administrator their policy too; servers
// say that they do not exist.
func (s *Server) describeSelf(r *request) (any, error) {
	if r.identity == r.access.Admin {
		return identityInfo{Identity: r.identity, Admin: true, CreatedAt: s.start}, nil
	}
	policy, ok := r.access.of[r.identity]
	if !ok {
		return nil, errNoIdentity
	}
	return identityInfo{Identity: r.identity, Policy: s.policy(r, policy), CreatedAt: s.start, CreatedBy: r.access.Admin}, nil
}

// withPrefix returns what begins like a listing's pattern, of which only the
// star that stands alone is one; never nil, which JSON has another word for.
func withPrefix(names []string, pattern string) []string {
	if pattern == "*" {
		pattern = ""
	}
	matching := []string{}
	for _, name := range names {
		if strings.HasPrefix(name, pattern) {
			matching = append(matching, name)
		}
	}
	return matching
}
