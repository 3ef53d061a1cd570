package keserver

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Access tells who may do what. The zero value allows nobody anything.
type Access struct {
	// Admin is an identity that may do everything. Empty: there is none.
	Admin string

	// Policies, by name. An identity is in one of them at most.
	Policies map[string]Policy
}

// Policy allows its identities what one of the rules in Allow matches and none
// in Deny. A rule is a path; one that ends in * matches every path that begins
// like it (KES spec section 2.3).
type Policy struct {
	Allow, Deny []string
	Identities  []string
}

// check returns a copy of a, if a makes sense.
func (a Access) check() (*Access, error) {
	of := make(map[string]string) // policy by identity
	checked := &Access{Admin: a.Admin, Policies: make(map[string]Policy, len(a.Policies))}
	for _, name := range slices.Sorted(maps.Keys(a.Policies)) {
		p := a.Policies[name]
		for _, id := range p.Identities {
			switch other, twice := of[id]; {
			case id == "":
				return nil, fmt.Errorf("policy %q: %w", name, errEmptyIdentity)
			case id == a.Admin:
				return nil, fmt.Errorf("policy %q: the admin identity %s is in no policy", name, id)
			case twice:
				return nil, fmt.Errorf("policy %q: the identity %s is in policy %q already", name, id, other)
			}
			of[id] = name
		}
		checked.Policies[name] = Policy{slices.Clone(p.Allow), slices.Clone(p.Deny), slices.Clone(p.Identities)}
	}
	return checked, nil
}

func (a *Access) allows(identity, path string) bool {
	if identity == a.Admin { // an identity is never empty
		return true
	}
	for _, p := range a.Policies {
		if slices.Contains(p.Identities, identity) {
			return !matches(p.Deny, path) && matches(p.Allow, path)
		}
	}
	return false
}

func matches(rules []string, path string) bool {
	return slices.ContainsFunc(rules, func(rule string) bool {
		if prefix, ok := strings.CutSuffix(rule, "*"); ok {
			return strings.HasPrefix(path, prefix)
		}
		return rule != "" && rule == path
	})
}
