// Package kms is where data keys come from.
//
// A storage backend asks for one data key per object: [Client.GenerateKey]
// returns 32 random bytes and, beside them, the same bytes sealed under a key
// that never leaves the key server. The sealed form is stored with the object;
// [Client.Decrypt] turns it back into the data key when the object is read.
//
//	upload  GenerateKey(key id, associated data) → data key + its ciphertext
//	read    Decrypt(key id, ciphertext, associated data) → data key
//
// Start with a [Backend] — kms/static (built-in keys), kms/kes (MinIO KES),
// kms/keystore (what a KES server left on its disk), or whatever kms/kmsenv finds
// in the environment — and wrap it by [NewClient]; kms/cache may be between them.
// The Client checks names, which may come from hostile metadata, before a
// backend sees them, asks the authorisation hook, and gives every failure one
// of the kinds in errors.go. It never calls out in a constructor and adds no
// call of its own: one upload is one GenerateKey, one read one Decrypt. Why a
// data key does not open is another question, which [Client.Diagnose] answers.
//
// [AssociatedData] binds a data key to what it protects. It is authenticated,
// not secret, and must be given to Decrypt exactly as it was to GenerateKey.
//
// What is not guaranteed: a key server sees every data key it makes, and one
// that answers cannot be made to forget. Keys are wiped where they can be
// reached (see internal/secret for the limits).
package kms

import (
	"context"
	"time"
)

// MaxCiphertext is the longest data key ciphertext in bytes that a Client
// passes on. KES writes 76 to 136 (KES spec section 5), cloud services up to
// 6 KiB; metadata that holds more is hostile or damaged.
const MaxCiphertext = 64 << 10

// Options are the settings of a Client. The zero value is good.
type Options struct {
	// DefaultKeyID names the key for GenerateKey calls that name none.
	// Empty: the backend's own default key.
	DefaultKeyID string

	// Authorize is asked before every call that uses a key. An error refuses
	// the call, of kind ErrNotPermitted; the backend is not called.
	Authorize func(ctx context.Context, op Operation, keyID string, ad AssociatedData) error

	// ChooseKey picks the key of a new data key: it gets the key id asked for
	// (empty if none) and returns the one to use (empty: the default).
	ChooseKey func(ctx context.Context, requested string, ad AssociatedData) (string, error)

	// Observe is told of every call made to the backend, after it ended. It
	// must be safe for concurrent use and should return at once.
	Observe func(Call)
}

// A Call is what [Options.Observe] gets: one finished call to the backend.
type Call struct {
	Op       Operation
	KeyID    string
	Duration time.Duration
	Err      error // nil, or an *Error
}

// Client makes and opens data keys over a Backend. It is safe for concurrent
// use. A nil *Client is valid and answers every call with ErrNotConfigured, so
// that code which may meet only SSE-C objects needs no key server.
type Client struct {
	backend Backend
	opts    Options
}

// NewClient returns a Client over backend. A nil o means the defaults. Nothing
// is called.
func NewClient(backend Backend, o *Options) *Client {
	c := &Client{backend: backend}
	if o != nil {
		c.opts = *o
	}
	return c
}

// Backend returns what the Client was made over, nil for a nil Client.
func (c *Client) Backend() Backend {
	if c == nil {
		return nil
	}
	return c.backend
}

// GenerateKey returns a new data key under the key named keyID, bound to ad.
// An empty keyID means the default key; the result names the key really used.
// Every error is an *Error (see errors.go for the kinds).
func (c *Client) GenerateKey(ctx context.Context, keyID string, ad AssociatedData) (GeneratedKey, error) {
	if c != nil && c.opts.ChooseKey != nil {
		chosen, err := c.opts.ChooseKey(ctx, keyID, ad)
		if err != nil {
			return GeneratedKey{}, newError(OpGenerateKey, keyID, err)
		}
		keyID = chosen
	}
	if c != nil && keyID == "" {
		keyID = c.opts.DefaultKeyID
	}
	var key GeneratedKey
	err := c.call(ctx, OpGenerateKey, keyID, ad, func() (err error) {
		key, err = c.backend.GenerateKey(ctx, keyID, ad)
		if err == nil && (key.Key.IsZero() || len(key.Ciphertext) == 0 || len(key.Ciphertext) > MaxCiphertext) {
			err = errIncompleteAnswer
		}
		return err
	})
	if err != nil {
		return GeneratedKey{}, err
	}
	return key, nil
}

// Decrypt opens a data key that GenerateKey sealed under the same key id and
// associated data. A backend cannot tell a wrong key, wrong associated data
// and a damaged ciphertext apart: all three are ErrNotAuthentic.
func (c *Client) Decrypt(ctx context.Context, keyID string, ciphertext []byte, ad AssociatedData) (DataKey, error) {
	if n := len(ciphertext); n == 0 || n > MaxCiphertext {
		return DataKey{}, newError(OpDecrypt, keyID, &lengthError{n})
	}
	var key DataKey
	err := c.call(ctx, OpDecrypt, keyID, ad, func() (err error) {
		key, err = c.backend.Decrypt(ctx, keyID, ciphertext, ad)
		if err == nil && key.IsZero() {
			err = errIncompleteAnswer
		}
		return err
	})
	if err != nil {
		return DataKey{}, err
	}
	return key, nil
}

// Status asks the backend how it is. An unreachable key server is an error of
// kind ErrUnreachable.
func (c *Client) Status(ctx context.Context) (status Status, err error) {
	err = c.call(ctx, OpStatus, "", nil, func() (err error) {
		status, err = c.backend.Status(ctx)
		return err
	})
	return status, err
}

// CreateKey makes a new key on the key server. ErrKeyExists if there is one of
// that name; ErrUnsupported if the backend's keys are fixed.
func (c *Client) CreateKey(ctx context.Context, keyID string) error {
	return c.call(ctx, OpCreateKey, keyID, nil, func() error {
		m, ok := c.backend.(Manager)
		if !ok {
			return ErrUnsupported
		}
		return m.CreateKey(ctx, keyID)
	})
}

// ImportKey stores a key of 32 bytes that came from elsewhere under a new name.
// The algorithm is "AES256" or "ChaCha20"; empty means AES256. ErrKeyExists if
// there is a key of that name; ErrUnsupported if the backend takes none.
func (c *Client) ImportKey(ctx context.Context, keyID string, key []byte, algorithm string) error {
	return c.call(ctx, OpImportKey, keyID, nil, func() error {
		i, ok := c.backend.(Importer)
		if !ok {
			return ErrUnsupported
		}
		return i.ImportKey(ctx, keyID, key, algorithm)
	})
}

// DeleteKey removes a key, and with it for good what it sealed.
func (c *Client) DeleteKey(ctx context.Context, keyID string) error {
	return c.call(ctx, OpDeleteKey, keyID, nil, func() error {
		d, ok := c.backend.(Deleter)
		if !ok {
			return ErrUnsupported
		}
		return d.DeleteKey(ctx, keyID)
	})
}

// DescribeKey tells what is known of a key without using it.
func (c *Client) DescribeKey(ctx context.Context, keyID string) (info KeyInfo, err error) {
	err = c.call(ctx, OpDescribeKey, keyID, nil, func() (err error) {
		m, ok := c.backend.(Manager)
		if !ok {
			return ErrUnsupported
		}
		info, err = m.DescribeKey(ctx, keyID)
		return err
	})
	return info, err
}

// ListKeys returns the names of the keys that start with prefix, sorted.
func (c *Client) ListKeys(ctx context.Context, prefix string) (names []string, err error) {
	err = c.call(ctx, OpListKeys, prefix, nil, func() (err error) {
		m, ok := c.backend.(Manager)
		if !ok {
			return ErrUnsupported
		}
		names, err = m.ListKeys(ctx, prefix)
		return err
	})
	return names, err
}

// Encrypt seals a short plaintext (a key that came from elsewhere) under the
// named key. Decrypt opens it only if it has the 32 bytes of a data key.
func (c *Client) Encrypt(ctx context.Context, keyID string, plaintext []byte, ad AssociatedData) (ciphertext []byte, err error) {
	err = c.call(ctx, OpEncrypt, keyID, ad, func() (err error) {
		e, ok := c.backend.(Encrypter)
		if !ok {
			return ErrUnsupported
		}
		ciphertext, err = e.Encrypt(ctx, keyID, plaintext, ad)
		return err
	})
	return ciphertext, err
}

// call is the one way to the backend: check the name, ask the hook, time the
// call, classify its error.
func (c *Client) call(ctx context.Context, op Operation, keyID string, ad AssociatedData, do func() error) error {
	if c == nil || c.backend == nil {
		return newError(op, keyID, ErrNotConfigured)
	}
	if err := checkKeyID(keyID); err != nil {
		return newError(op, keyID, err)
	}
	if c.opts.Authorize != nil {
		if err := c.opts.Authorize(ctx, op, keyID, ad); err != nil {
			return newError(op, keyID, &refusal{err})
		}
	}
	var start time.Time
	if c.opts.Observe != nil {
		start = time.Now()
	}
	var err error
	if e := do(); e != nil {
		err = newError(op, keyID, e)
	}
	if c.opts.Observe != nil {
		c.opts.Observe(Call{Op: op, KeyID: keyID, Duration: time.Since(start), Err: err})
	}
	return err
}
