// Package cache keeps opened data keys for a while, so that reading an object
// again, or by many at once, does not ask the key server again.
//
// Start with [New]: it wraps any [kms.Backend] and is one.
//
//	backend := cache.New(kesBackend, nil)
//	defer backend.Close()
//	client := kms.NewClient(backend, nil)
//
// Only Decrypt is cached, never GenerateKey: every object gets a data key of its
// own. An entry is for one key id, ciphertext and associated data, all three, so
// that a hit says what the backend said to the same question. Calls for one
// entry at the same time share one request; who gives up leaves alone, and the
// request ends when the last one has left. Callers get copies.
//
// An entry goes when it is older than [Options.TTL], when [Options.MaxEntries]
// others were used after it, and on evidence: the backend answers that the key
// is not there, not permitted, or not the one that sealed it. With
// [Options.Grace] an entry outlives its TTL, and is then used only while the
// backend is unreachable.
//
// Guaranteed: the bytes of a data key are overwritten before the call that
// evicts it returns; entries that nobody asks for go by a timer, at most a minute after their time;
// [Cache.Close] evicts all. No goroutine is left behind, also without a Close.
// Not guaranteed: that the backend would answer the same as the cache does. A
// permission that was taken away is noticed after the TTL.
package cache

import (
	"context"
	"crypto/sha256"
	"errors"
	"sync"
	"time"

	expirable "github.com/go-pkgz/expirable-cache/v3"

	"github.com/objseal/objseal/kms"
)

// Options are the settings of a Cache. The zero value is good.
type Options struct {
	// TTL is how long an opened data key is used without asking the backend
	// again. 0 means 5 minutes, as KES servers keep their keys.
	TTL time.Duration

	// MaxEntries is how many data keys are kept; the least recently used goes
	// first. An entry takes some 500 bytes. 0 means 10,000.
	MaxEntries int

	// Grace is how much longer than TTL an entry is kept for the case that the
	// backend is unreachable. 0, the default: not at all.
	Grace time.Duration
}

// Stats are the counters of a Cache, from its beginning.
type Stats struct {
	Hits    uint64 // answered from the cache
	Misses  uint64 // asked the backend
	Shared  uint64 // waited for the request of another call
	Graced  uint64 // answered from an old entry because the backend was unreachable
	Evicted uint64 // entries that went, for whatever reason

	Entries int // just now
}

// id is what an entry answers. Both hashes are SHA-256: a collision would answer
// one object with another's key.
type id struct {
	keyID          string
	ciphertext     [sha256.Size]byte
	associatedData [sha256.Size]byte // of the canonical form
}

// entry is an opened data key. Its memory is the cache's alone.
type entry struct {
	key   kms.DataKey
	fresh time.Time // until when it is used without asking
}

// Cache is a kms.Backend that remembers what another one opened. It also passes
// on what the other one has of kms.Manager, kms.Encrypter, kms.Importer and
// kms.Deleter; what it has not is kms.ErrUnsupported. It is safe for concurrent
// use.
type Cache struct {
	backend    kms.Backend
	ttl, grace time.Duration

	mu      sync.Mutex // for all below; never held during a request
	entries expirable.Cache[id, *entry]
	flights map[id]*flight
	timer   *time.Timer // for the next look at what is over; nil if none is set
	closed  bool
	stats   Stats
}

var (
	_ kms.Backend   = (*Cache)(nil)
	_ kms.Manager   = (*Cache)(nil)
	_ kms.Encrypter = (*Cache)(nil)
	_ kms.Importer  = (*Cache)(nil)
	_ kms.Deleter   = (*Cache)(nil)
)

// New returns a Cache over backend. A nil o means the defaults.
func New(backend kms.Backend, o *Options) *Cache {
	if o == nil {
		o = new(Options)
	}
	c := &Cache{backend: backend, ttl: o.TTL, grace: max(o.Grace, 0), flights: make(map[id]*flight)}
	if c.ttl <= 0 {
		c.ttl = 5 * time.Minute
	}
	most := o.MaxEntries
	if most <= 0 {
		most = 10_000
	}
	// The library calls this under its lock, in the call that evicts: this is
	// why it is this library.
	c.entries = expirable.NewCache[id, *entry]().WithLRU().WithMaxKeys(most).WithTTL(c.ttl + c.grace).
		WithOnEvicted(func(_ id, e *entry) {
			e.key.Wipe()
			c.stats.Evicted++
		})
	return c
}

// Unwrap returns the backend that New was given.
func (c *Cache) Unwrap() kms.Backend { return c.backend }

// Stats returns the counters.
func (c *Cache) Stats() Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.stats
	s.Entries = c.entries.Len()
	return s
}

// Purge evicts everything. What is being asked for just now is answered, and not
// kept.
func (c *Cache) Purge() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.purge(func(id) bool { return true })
}

// Close evicts everything and keeps nothing from then on: later calls go to the
// backend, which stays open.
func (c *Cache) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	c.purge(func(id) bool { return true })
	return nil
}

// purge evicts the entries that match and sees to it that requests under way do
// not bring them back, nor answer a call that begins later.
func (c *Cache) purge(match func(id) bool) {
	c.entries.InvalidateFn(match)
	for k, f := range c.flights {
		if match(k) {
			f.keep = false
			c.forget(k, f)
		}
	}
	c.schedule()
}

// schedule sets the timer for the entry that goes first, or stops it.
func (c *Cache) schedule() {
	if c.entries.Len() == 0 {
		if c.timer != nil {
			c.timer.Stop()
			c.timer = nil
		}
		return
	}
	if c.timer == nil {
		c.timer = time.AfterFunc(c.ttl+c.grace, c.sweep)
	}
}

// sweep evicts what is over, and comes again while there is anything.
func (c *Cache) sweep() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.entries.DeleteExpired()
	if c.timer != nil && c.entries.Len() > 0 {
		c.timer.Reset(min(c.ttl+c.grace, time.Minute))
		return
	}
	c.timer = nil
}

// Decrypt answers from the cache, or asks the backend and remembers what it
// said.
func (c *Cache) Decrypt(ctx context.Context, keyID string, ciphertext []byte, ad kms.AssociatedData) (kms.DataKey, error) {
	if err := ctx.Err(); err != nil {
		return kms.DataKey{}, err
	}
	if n := len(ciphertext); n == 0 || n > kms.MaxCiphertext {
		return c.backend.Decrypt(ctx, keyID, ciphertext, ad) // is refused
	}
	k := id{keyID, sha256.Sum256(ciphertext), sha256.Sum256(ad.Canonical())}
	c.mu.Lock()
	if e := c.get(k); e != nil && time.Now().Before(e.fresh) {
		defer c.mu.Unlock()
		c.stats.Hits++
		return kms.DataKey{Key: e.key.Clone()}, nil
	}
	f, shared := c.flights[k]
	if shared {
		c.stats.Shared++
	} else {
		c.stats.Misses++
		f = c.fly(ctx, k, ciphertext, ad)
	}
	f.waiters++
	c.mu.Unlock()
	return c.wait(ctx, k, f)
}

// get returns an entry that may be used: without asking if it is fresh, else
// while the backend is unreachable.
func (c *Cache) get(k id) *entry {
	e, _ := c.entries.Get(k) // what is over too
	if e != nil && !time.Now().Before(e.fresh.Add(c.grace)) {
		c.entries.Invalidate(k)
		return nil
	}
	return e
}

// settle is told how a request ended, under the lock. It returns what the
// waiters get: what the backend said, or an old entry.
func (c *Cache) settle(k id, f *flight, key kms.DataKey, err error) (kms.DataKey, error) {
	if err == nil {
		if f.keep && !c.closed {
			c.put(k, &entry{kms.DataKey{Key: key.Clone()}, time.Now().Add(c.ttl)})
		}
		return key, nil
	}
	key.Wipe()
	switch {
	case errors.Is(err, kms.ErrKeyNotFound), errors.Is(err, kms.ErrNotPermitted):
		c.purge(func(other id) bool { return other.keyID == k.keyID })
	case errors.Is(err, kms.ErrNotAuthentic):
		c.purge(func(other id) bool { return other == k })
	case errors.Is(err, kms.ErrUnreachable):
		if e := c.get(k); e != nil {
			c.stats.Graced++
			return kms.DataKey{Key: e.key.Clone()}, nil
		}
	}
	return kms.DataKey{}, err
}

func (c *Cache) put(k id, e *entry) {
	// Replacing is not evicting to the library, and would keep the old bytes.
	c.entries.Invalidate(k)
	c.entries.Add(k, e)
	c.schedule()
}

// GenerateKey asks the backend, always. Its data key is not remembered: an
// object that was just written is seldom read at once.
func (c *Cache) GenerateKey(ctx context.Context, keyID string, ad kms.AssociatedData) (kms.GeneratedKey, error) {
	key, err := c.backend.GenerateKey(ctx, keyID, ad)
	c.learn(keyID, err)
	return key, err
}

// learn evicts the entries of a key of which some other call says that it is
// not there.
func (c *Cache) learn(keyID string, err error) {
	if errors.Is(err, kms.ErrKeyNotFound) {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.purge(func(k id) bool { return k.keyID == keyID })
	}
}

// Status asks the backend.
func (c *Cache) Status(ctx context.Context) (kms.Status, error) { return c.backend.Status(ctx) }

// CreateKey asks the backend, if it is a kms.Manager.
func (c *Cache) CreateKey(ctx context.Context, keyID string) error {
	m, ok := c.backend.(kms.Manager)
	if !ok {
		return kms.ErrUnsupported
	}
	return m.CreateKey(ctx, keyID)
}

// DescribeKey asks the backend, if it is a kms.Manager.
func (c *Cache) DescribeKey(ctx context.Context, keyID string) (kms.KeyInfo, error) {
	m, ok := c.backend.(kms.Manager)
	if !ok {
		return kms.KeyInfo{}, kms.ErrUnsupported
	}
	info, err := m.DescribeKey(ctx, keyID)
	c.learn(keyID, err)
	return info, err
}

// ListKeys asks the backend, if it is a kms.Manager.
func (c *Cache) ListKeys(ctx context.Context, prefix string) ([]string, error) {
	m, ok := c.backend.(kms.Manager)
	if !ok {
		return nil, kms.ErrUnsupported
	}
	return m.ListKeys(ctx, prefix)
}

// Encrypt asks the backend, if it is a kms.Encrypter.
func (c *Cache) Encrypt(ctx context.Context, keyID string, plaintext []byte, ad kms.AssociatedData) ([]byte, error) {
	e, ok := c.backend.(kms.Encrypter)
	if !ok {
		return nil, kms.ErrUnsupported
	}
	return e.Encrypt(ctx, keyID, plaintext, ad)
}

// ImportKey asks the backend, if it is a kms.Importer.
func (c *Cache) ImportKey(ctx context.Context, keyID string, key []byte, algorithm string) error {
	i, ok := c.backend.(kms.Importer)
	if !ok {
		return kms.ErrUnsupported
	}
	return i.ImportKey(ctx, keyID, key, algorithm)
}

// DeleteKey asks the backend, if it is a kms.Deleter. What the key sealed is
// forgotten, also if the answer was lost.
func (c *Cache) DeleteKey(ctx context.Context, keyID string) error {
	d, ok := c.backend.(kms.Deleter)
	if !ok {
		return kms.ErrUnsupported
	}
	err := d.DeleteKey(ctx, keyID)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.purge(func(k id) bool { return k.keyID == keyID })
	return err
}
