package kes

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/objseal/objseal/kms"
)

// alphabet is what names are made of, in the order in which servers sort.
const alphabet = "-0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz"

// maxListCalls bounds what a hostile server can make one listing cost. It is
// enough for a million names.
const maxListCalls = 10_000

// ListKeys returns the names that start with prefix, sorted; a * may follow, as
// in MinIO's patterns. What a server lists beside, such as foreign files in its
// key store that can be no keys, is left out.
//
// Servers answer with the first 1024 names and cannot be asked for the rest
// (KES spec section 1.4), so those are asked for by longer prefixes. One kind of
// name is not found then: with three or more - after a leading _.
func (b *Backend) ListKeys(ctx context.Context, prefix string) ([]string, error) {
	return b.list(ctx, opList, prefix)
}

func (b *Backend) list(ctx context.Context, op operation, prefix string) ([]string, error) {
	prefix = strings.TrimSuffix(prefix, "*")
	if len(prefix) > maxName || strings.HasPrefix(prefix, "-") || strings.Trim(prefix, alphabet) != "" {
		return nil, fmt.Errorf("%w: none begins with %s", kms.ErrInvalidKeyID, kms.QuoteKeyID(prefix))
	}
	l := lister{b: b, op: op, names: make(map[string]struct{})}
	asked := prefix
	for !askable(asked) {
		asked = asked[:len(asked)-1]
	}
	known, err := l.page(ctx, asked)
	if err == nil && known != everything {
		err = l.after(ctx, prefix, known)
	}
	if err != nil {
		return nil, err
	}
	list := make([]string, 0, len(l.names))
	for name := range l.names {
		if strings.HasPrefix(name, prefix) {
			list = append(list, name)
		}
	}
	slices.Sort(list)
	return list, nil
}

const maxName = 80 // bytes (KES spec section 1.1)

// askable reports whether servers list by prefix. They refuse one that could
// not be a name: that ends in - or is just _.
func askable(prefix string) bool { return prefix == "" || kms.ValidName(prefix) }

// lister gathers the answers of several listings.
type lister struct {
	b     *Backend
	op    operation
	names map[string]struct{}
	calls int
}

// everything sorts after every name.
const everything = "~"

// page asks for the names that begin with prefix. Of those the ones up to known
// are in l.names afterwards.
func (l *lister) page(ctx context.Context, prefix string) (known string, err error) {
	if l.calls++; l.calls > maxListCalls {
		return "", fmt.Errorf("the listing did not end after %d calls", maxListCalls)
	}
	pattern := prefix
	if prefix == "" {
		pattern = "*" // the one spelling that all generations know
	}
	names, more, old, err := l.b.listPage(ctx, l.op, pattern)
	if err == nil && old && prefix != "" {
		// A server that matches globs, and had looked for one name.
		names, _, _, err = l.b.listPage(ctx, l.op, prefix+"*")
	}
	if err != nil {
		return "", err
	}
	for _, name := range names {
		if kms.ValidName(name) {
			l.names[name] = struct{}{}
		}
		if strings.HasPrefix(name, prefix) {
			known = max(known, name)
		}
	}
	switch {
	case !more:
		return everything, nil
	case known == "": // each page has to bring us on
		return "", fmt.Errorf("%w: %w: a listing goes on without having begun", kms.ErrUnreachable, errBadAnswer)
	}
	return known, nil
}

// after asks for the names that begin with prefix and come after known.
func (l *lister) after(ctx context.Context, prefix, known string) error {
	if len(prefix) >= maxName {
		return nil
	}
	for _, c := range alphabet {
		longer := prefix + string(c)
		if known > longer && !strings.HasPrefix(known, longer) || longer == "-" {
			continue // all of these come before known, or are none
		}
		if strings.HasSuffix(longer, "---") && !strings.HasPrefix(known, longer) {
			continue // nobody's names, and each - more costs 63 calls
		}
		next := known
		if askable(longer) {
			var err error
			if next, err = l.page(ctx, longer); err != nil {
				return err
			}
			if next == everything {
				continue
			}
		}
		if err := l.after(ctx, longer, next); err != nil {
			return err
		}
	}
	return nil
}

// listPage makes one listing. An old server answers in another form, with all
// names that match a glob (KES spec section 1.8).
func (b *Backend) listPage(ctx context.Context, op operation, pattern string) (names []string, more, old bool, err error) {
	err = b.do(ctx, call{
		op: op, name: pattern, limit: maxList,
		out: func(a answer) error {
			if old = a.ndjson; old {
				names, err = readLines(a.body)
				return err
			}
			var v struct {
				Names      []string
				Identities []string // in a listing of identities
				ContinueAt string   `json:"continue_at"`
			}
			if err := a.decode(&v); err != nil {
				return err
			}
			names, more = append(v.Names, v.Identities...), v.ContinueAt != ""
			return nil
		},
	})
	return names, more, old, err
}

// readLines reads one JSON object a line, of which an error is the last.
func readLines(text []byte) (names []string, err error) {
	lines := json.NewDecoder(bytes.NewReader(text))
	for {
		var v struct{ Name, Identity, Error string }
		switch err := lines.Decode(&v); {
		case errors.Is(err, io.EOF):
			return names, nil
		case err != nil:
			return nil, errBadAnswer
		case v.Error != "":
			return nil, fmt.Errorf("%w: it ends with the error %s", errBadAnswer, printable(v.Error))
		}
		names = append(names, cmp.Or(v.Name, v.Identity))
	}
}
