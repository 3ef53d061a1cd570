package kes

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/objseal/objseal/kms"
)

// What a server says of names that are none's.
var (
	ErrPolicyNotFound   = errors.New("policy not found")
	ErrIdentityNotFound = errors.New("identity not found")
)

// Policy is what its identities may do. A rule is a path; one that ends in *
// stands for every path that begins so. Deny wins (KES spec section 2.3).
type Policy struct {
	Name        string
	Allow, Deny []string // sorted; empty if only described
	CreatedAt   time.Time
	CreatedBy   string // identity
}

// policyJSON is a policy as servers write it. Unlike a description, what they
// read out holds rules.
type policyJSON struct {
	Name        string
	Allow, Deny map[string]struct{}
	CreatedAt   time.Time `json:"created_at"`
	CreatedBy   string    `json:"created_by"`
}

func (v *policyJSON) policy() Policy {
	return Policy{printable(v.Name), rules(v.Allow), rules(v.Deny), v.CreatedAt, printable(v.CreatedBy)}
}

func rules(set map[string]struct{}) (list []string) {
	for _, rule := range slices.Sorted(maps.Keys(set)) {
		list = append(list, printable(rule))
	}
	return list
}

// DescribePolicy tells what the server knows of a policy, without its rules.
func (b *Backend) DescribePolicy(ctx context.Context, name string) (Policy, error) {
	return b.policy(ctx, opDescribePolicy, name)
}

// ReadPolicy returns a policy with its rules.
func (b *Backend) ReadPolicy(ctx context.Context, name string) (Policy, error) {
	return b.policy(ctx, opReadPolicy, name)
}

func (b *Backend) policy(ctx context.Context, op operation, name string) (p Policy, err error) {
	if !kms.ValidName(name) {
		return Policy{}, fmt.Errorf("%w: the policy %s", kms.ErrInvalidKeyID, kms.QuoteKeyID(name))
	}
	err = b.do(ctx, call{
		op: op, name: name, limit: maxAnswer,
		out: func(a answer) error {
			var v policyJSON
			if err := a.decode(&v); err != nil {
				return err
			}
			p = v.policy()
			p.Name = name
			return nil
		},
	})
	return p, err
}

// ListPolicies returns the names of the policies that start with prefix,
// sorted.
func (b *Backend) ListPolicies(ctx context.Context, prefix string) ([]string, error) {
	return b.list(ctx, opListPolicies, prefix)
}
