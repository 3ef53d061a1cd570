package cache

import (
	"bytes"
	"context"
	"errors"
	"maps"

	"github.com/objseal/objseal/kms"
)

// flight is one request to the backend that any number of calls wait for. It is
// not golang.org/x/sync/singleflight, for two reasons: that one does not know
// when the last call has left, so the request could not be ended; and here the
// result is a secret, which the last one to take a copy wipes.
type flight struct {
	cancel context.CancelFunc
	done   chan struct{} // closed when key and err are set

	// Under the lock of the Cache:
	waiters int
	keep    bool // the answer may be remembered
	key     kms.DataKey
	err     error
}

// fly begins a request, under the lock. It has the values of the first call's
// context, and goes on when that one gives up.
func (c *Cache) fly(ctx context.Context, k id, ciphertext []byte, ad kms.AssociatedData) *flight {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	f := &flight{cancel: cancel, done: make(chan struct{}), keep: true}
	c.flights[k] = f
	// The caller may change both once it has its own answer.
	ciphertext, ad = bytes.Clone(ciphertext), maps.Clone(ad)
	go func() {
		key, err := c.backend.Decrypt(ctx, k.keyID, ciphertext, ad)
		cancel()
		c.mu.Lock()
		defer c.mu.Unlock()
		c.forget(k, f)
		if f.key, f.err = c.settle(k, f, key, err); f.waiters == 0 {
			f.key.Wipe()
		}
		close(f.done)
	}()
	return f
}

// forget takes a flight out of those that others may join.
func (c *Cache) forget(k id, f *flight) {
	if c.flights[k] == f {
		delete(c.flights, k)
	}
}

// wait returns a copy of what the flight brings, or leaves with ctx.
func (c *Cache) wait(ctx context.Context, k id, f *flight) (kms.DataKey, error) {
	var err error
	select {
	case <-f.done:
	case <-ctx.Done():
		err = ctx.Err()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	f.waiters--
	var key kms.DataKey
	switch {
	case err == nil:
		key, err = kms.DataKey{Key: f.key.Clone()}, f.err
	case errors.Is(err, context.DeadlineExceeded):
		// No answer in the time allowed is what unreachable means.
		if e := c.get(k); e != nil {
			c.stats.Graced++
			key, err = kms.DataKey{Key: e.key.Clone()}, nil
		}
	}
	if f.waiters == 0 {
		f.key.Wipe()
		f.cancel()
		c.forget(k, f)
	}
	return key, err
}
