package kms

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"
	"unicode"

	"github.com/objseal/objseal/internal/dek"
)

// What ErrNotAuthentic turns out to be where there is evidence, and only there:
// see [Client.Diagnose]. Each of them is an ErrNotAuthentic too.
var (
	// ErrWrongKey: another key sealed it.
	ErrWrongKey = fmt.Errorf("%w: wrong key", ErrNotAuthentic)
	// ErrWrongContext: the key is right, the associated data is not.
	ErrWrongContext = fmt.Errorf("%w: wrong associated data", ErrNotAuthentic)
	// ErrKeyRecreated: the key was made after what it is to open, and so is not
	// the one that had its name then: that one was deleted, or is on another
	// server.
	ErrKeyRecreated = fmt.Errorf("%w: another key has its name now", ErrNotAuthentic)
)

// A KeyTrier is a Backend that holds its keys itself: trying all of them asks
// nobody.
type KeyTrier interface {
	// TryKeys returns the name of a key that opens the ciphertext,
	// ErrKeyNotFound if none does.
	TryKeys(ctx context.Context, ciphertext []byte, ad AssociatedData) (keyID string, err error)
	// KeyFingerprint returns what KES called the named key in the ciphertexts
	// that it wrote until 2024 (KES spec section 5.1).
	KeyFingerprint(ctx context.Context, keyID string) (string, error)
}

// A Case is a data key that did not open, and what else is known of it.
type Case struct {
	KeyID          string
	Ciphertext     []byte
	AssociatedData AssociatedData // it did not open under this

	// Others are what a writer may have bound it to instead. Each costs at
	// most one request; a caller names a few.
	Others []AssociatedData

	// Written is when the data key was sealed or later, such as the time its
	// object was last changed. Zero: not known.
	Written time.Time
}

// AuthenticityError is an ErrNotAuthentic whose cause was found, with the
// evidence. It is one or two of ErrWrongKey, ErrWrongContext, ErrKeyRecreated.
type AuthenticityError struct {
	// OpenedBy names the key that opens it, if it is a wrong key and the right
	// one is known.
	OpenedBy string
	// NamedID and KeyID are the key id that the ciphertext names, and that of
	// the key: a wrong key without OpenedBy.
	NamedID, KeyID string
	// OpenedUnder is the associated data that it opens under, if that is other
	// than it was to be.
	OpenedUnder AssociatedData
	// Created and Written are those of the key and of what it was to open, if
	// the key is the younger.
	Created, Written time.Time

	kinds []error
}

func (e *AuthenticityError) Error() string {
	text := e.kinds[0].Error() + ": "
	switch {
	case e.OpenedBy != "" && len(e.kinds) > 1:
		return text + fmt.Sprintf("it opens with key %s, and under other associated data: %s", QuoteKeyID(e.OpenedBy), brief(e.OpenedUnder))
	case e.OpenedBy != "":
		return text + fmt.Sprintf("it opens with key %s", QuoteKeyID(e.OpenedBy))
	case e.NamedID != "":
		return text + fmt.Sprintf("it names key id %s, this key's is %s", e.NamedID, e.KeyID)
	case !e.Created.IsZero():
		return text + fmt.Sprintf("it was made at %s, after what it is to open, of %s", e.Created.UTC().Format(time.RFC3339), e.Written.UTC().Format(time.RFC3339))
	}
	return text + "it opens under " + brief(e.OpenedUnder)
}

func (e *AuthenticityError) Unwrap() []error { return e.kinds }

// brief is associated data for a message, which may be hostile and long.
func brief(ad AssociatedData) string {
	const most = 200
	b := ad.Canonical()
	switch {
	case len(b) > most:
		return fmt.Sprintf("%+q… (%d bytes)", b[:most], len(b))
	case bytes.ContainsFunc(b, func(r rune) bool { return !unicode.IsPrint(r) }):
		return fmt.Sprintf("%+q", b)
	}
	return string(b)
}

// Diagnose looks for the reason why a data key is not authentic. It returns nil
// if there is no evidence for any, else an *Error that wraps an
// *AuthenticityError. Evidence is, in this order:
//
//	it opens under one of Case.Others                     ErrWrongContext
//	it opens with another key of a [KeyTrier]             ErrWrongKey
//	it names a key id that is not that of its key         ErrWrongKey
//	its key was created after Case.Written                ErrKeyRecreated
//
// A key server is asked one time for each of Case.Others and one time for the
// key, so a reader calls Diagnose only where somebody wants to know, never
// because a Decrypt failed. What a request fails with is no evidence and not
// told. No data key that opens is returned.
func (c *Client) Diagnose(ctx context.Context, k Case) error {
	if c == nil || c.backend == nil || len(k.Ciphertext) == 0 || len(k.Ciphertext) > MaxCiphertext {
		return nil
	}
	if k.KeyID == "" {
		k.KeyID = c.opts.DefaultKeyID
	}
	for _, find := range []func(context.Context, Case) *AuthenticityError{c.otherContext, c.otherKey, c.namedKey, c.youngerKey} {
		if e := find(ctx, k); e != nil {
			return &Error{Op: OpDecrypt, KeyID: k.KeyID, Err: e}
		}
	}
	return nil
}

func (c *Client) otherContext(ctx context.Context, k Case) *AuthenticityError {
	for _, ad := range k.Others {
		key, err := c.Decrypt(ctx, k.KeyID, k.Ciphertext, ad)
		if err == nil {
			key.Wipe()
			return &AuthenticityError{OpenedUnder: ad, kinds: []error{ErrWrongContext}}
		}
		if !errors.Is(err, ErrNotAuthentic) {
			return nil // the next one would fail likewise
		}
	}
	return nil
}

func (c *Client) otherKey(ctx context.Context, k Case) *AuthenticityError {
	trier := as[KeyTrier](c.backend)
	if trier == nil {
		return nil
	}
	for i := range len(k.Others) + 1 {
		ad := k.AssociatedData
		if i > 0 {
			ad = k.Others[i-1]
		}
		var by string
		err := c.call(ctx, OpDecrypt, k.KeyID, ad, func() (err error) {
			by, err = trier.TryKeys(ctx, k.Ciphertext, ad)
			return err
		})
		switch {
		case err != nil || by == k.KeyID:
		case i == 0:
			return &AuthenticityError{OpenedBy: by, kinds: []error{ErrWrongKey}}
		default:
			return &AuthenticityError{OpenedBy: by, OpenedUnder: ad, kinds: []error{ErrWrongKey, ErrWrongContext}}
		}
	}
	return nil
}

func (c *Client) namedKey(ctx context.Context, k Case) *AuthenticityError {
	trier := as[KeyTrier](c.backend)
	named, ok := dek.NamedKeyID(k.Ciphertext)
	if trier == nil || !ok {
		return nil
	}
	var id string
	err := c.call(ctx, OpDescribeKey, k.KeyID, nil, func() (err error) {
		id, err = trier.KeyFingerprint(ctx, k.KeyID)
		return err
	})
	if err != nil || id == named {
		return nil
	}
	return &AuthenticityError{NamedID: named, KeyID: id, kinds: []error{ErrWrongKey}}
}

func (c *Client) youngerKey(ctx context.Context, k Case) *AuthenticityError {
	if k.Written.IsZero() {
		return nil
	}
	info, err := c.DescribeKey(ctx, k.KeyID)
	if err != nil || !info.CreatedAt.After(k.Written) {
		return nil
	}
	return &AuthenticityError{Created: info.CreatedAt, Written: k.Written, kinds: []error{ErrKeyRecreated}}
}

// as returns the backend, or one that it wraps, as a T; nil if none is one.
func as[T any](b Backend) (t T) {
	for b != nil {
		if t, ok := b.(T); ok {
			return t
		}
		w, ok := b.(interface{ Unwrap() Backend })
		if !ok {
			break
		}
		b = w.Unwrap()
	}
	return t
}
