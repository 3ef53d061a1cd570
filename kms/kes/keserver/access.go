package keserver

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/objseal/objseal/kms"
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

// access is an Access that makes sense.
type access struct {
	Access
	of map[string]string // policy by identity
}

var (
	errEmptyIdentity = errors.New("an identity is empty")
	errPolicyName    = errors.New("the name is empty, too long or contains invalid characters")
)

// check returns a copy of a, if a makes sense.
func (a Access) check() (*access, error) {
	checked := &access{Access{a.Admin, make(map[string]Policy, len(a.Policies))}, make(map[string]string)}
	for _, name := range slices.Sorted(maps.Keys(a.Policies)) {
		if !kms.ValidName(name) {
			return nil, fmt.Errorf("policy %q: %w", name, errPolicyName)
		}
		p := a.Policies[name]
		for _, id := range p.Identities {
			switch other, twice := checked.of[id]; {
			case id == "":
				return nil, fmt.Errorf("policy %q: %w", name, errEmptyIdentity)
			case id == a.Admin:
				return nil, fmt.Errorf("policy %q: the admin identity %s is in no policy", name, id)
			case twice:
				return nil, fmt.Errorf("policy %q: the identity %s is in policy %q already", name, id, other)
			}
			checked.of[id] = name
		}
		checked.Policies[name] = Policy{slices.Clone(p.Allow), slices.Clone(p.Deny), slices.Clone(p.Identities)}
	}
	return checked, nil
}

func (a *access) allows(identity, path string) bool {
	if identity == a.Admin { // an identity is never empty
		return true
	}
	p := a.Policies[a.of[identity]] // no policy has an empty name
	return !matches(p.Deny, path) && matches(p.Allow, path)
}

// SetAccess replaces who may do what, for requests from now on. An error
// leaves it as it was.
func (s *Server) SetAccess(a Access) error {
	checked, err := a.check()
	if err != nil {
		return err
	}
	s.access.Store(checked)
	return nil
}

func matches(rules []string, path string) bool {
	return slices.ContainsFunc(rules, func(rule string) bool {
		if prefix, ok := strings.CutSuffix(rule, "*"); ok {
			return strings.HasPrefix(path, prefix)
		}
		return rule != "" && rule == path
	})
}
