package kes

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/objseal/objseal/kms"
)

// IdentityInfo is what a server knows of an identity.
type IdentityInfo struct {
	Identity  string
	Admin     bool   // it may do everything
	Policy    string // name of the policy it is in; an administrator is in none
	CreatedAt time.Time
	CreatedBy string // identity
}

// identityJSON is both forms that servers have: in the description of oneself
// the policy is an object, else its name (KES spec section 1.3).
type identityJSON struct {
	Identity  string
	Admin     bool
	Policy    json.RawMessage
	CreatedAt time.Time `json:"created_at"`
	CreatedBy string    `json:"created_by"`
}

func (v *identityJSON) info(identity string) (info IdentityInfo, p Policy, err error) {
	info = IdentityInfo{Identity: identity, Admin: v.Admin, CreatedAt: v.CreatedAt, CreatedBy: printable(v.CreatedBy)}
	var name string
	switch {
	case len(v.Policy) == 0 || bytes.Equal(v.Policy, []byte("null")):
	case v.Policy[0] == '{':
		var policy policyJSON
		if json.Unmarshal(v.Policy, &policy) != nil {
			return info, p, errBadAnswer
		}
		p = policy.policy()
		info.Policy = p.Name
	case json.Unmarshal(v.Policy, &name) != nil:
		return info, p, errBadAnswer
	default:
		info.Policy = printable(name)
	}
	return info, p, nil
}

// DescribeIdentity tells what the server knows of an identity.
func (b *Backend) DescribeIdentity(ctx context.Context, identity string) (info IdentityInfo, err error) {
	if !kms.ValidName(identity) {
		return IdentityInfo{}, fmt.Errorf("%w: the identity %s", kms.ErrInvalidKeyID, kms.QuoteKeyID(identity))
	}
	err = b.do(ctx, call{
		op: opDescribeIdentity, name: identity, limit: maxAnswer,
		out: func(a answer) (err error) {
			var v identityJSON
			if err := a.decode(&v); err != nil {
				return err
			}
			info, _, err = v.info(identity)
			return err
		},
	})
	return info, err
}

// DescribeSelf tells what the server knows of this client, and its policy. It
// needs no permission. Servers v0.23 and v0.24 answer administrators only, and
// everybody else [ErrIdentityNotFound], whether in a policy or not (KES spec
// section 1.3).
func (b *Backend) DescribeSelf(ctx context.Context) (info IdentityInfo, p Policy, err error) {
	err = b.do(ctx, call{
		op: opDescribeSelf, limit: maxAnswer,
		out: func(a answer) (err error) {
			var v identityJSON
			if err := a.decode(&v); err != nil {
				return err
			}
			info, p, err = v.info(printable(v.Identity))
			return err
		},
	})
	return info, p, err
}

// ListIdentities returns the identities that start with prefix, the
// administrator's among them, sorted.
func (b *Backend) ListIdentities(ctx context.Context, prefix string) ([]string, error) {
	return b.list(ctx, opListIdentities, prefix)
}
