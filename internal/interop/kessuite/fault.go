//go:build unix

package kessuite

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/objseal/objseal/internal/interop/kesproc"
	"github.com/objseal/objseal/kms"
	"github.com/objseal/objseal/kms/cache"
	"github.com/objseal/objseal/kms/kes"
)

// testFaults takes servers away from a client that is hard at work, and gives
// them back: three servers over one key store, the first of which the client
// prefers.
func testFaults(t *testing.T, binary string) {
	t.Run("one of three killed under load", func(t *testing.T) {
		b, _, servers := threeServers(t, binary, nil)
		calls := hammer(t, b, servers[0].Kill)
		t.Logf("%d calls, the longest took %v", len(calls), longest(calls))
	})

	t.Run("one of three hung under load", func(t *testing.T) {
		// Everything that is said of durations here is relative to this one,
		// within which a server that is well has to answer anyway.
		const tryTimeout = 3 * time.Second
		b, _, servers := threeServers(t, binary, &kes.Options{TryTimeout: tryTimeout})
		calls := hammer(t, b, func() { servers[0].Suspend(t) })

		var known time.Time // end of the first call that the hung server cost a deadline
		for _, c := range calls {
			if c.duration() >= tryTimeout && (known.IsZero() || c.end.Before(known)) {
				known = c.end
			}
		}
		if known.IsZero() {
			t.Fatal("no call met the hung server")
		}
		waited, after := 0, 0
		for _, c := range calls {
			switch late := c.start.After(known); {
			case late && c.duration() >= tryTimeout:
				t.Errorf("a call that began %v after the first time-out took %v", c.start.Sub(known), c.duration())
			case late:
				after++
			case c.duration() >= 2*tryTimeout:
				t.Errorf("a call took %v: more than one deadline of %v", c.duration(), tryTimeout)
			case c.duration() >= tryTimeout:
				waited++
			}
		}
		if after == 0 {
			t.Error("no call began after the first time-out")
		}
		t.Logf("%d calls waited for the hung server, %d began after the first time-out, the longest call took %v", waited, after, longest(calls))
	})

	t.Run("one killed and one hung", func(t *testing.T) {
		b, _, servers := threeServers(t, binary, &kes.Options{TryTimeout: 3 * time.Second})
		hammer(t, b, func() {
			servers[0].Kill()
			servers[1].Suspend(t)
		})
	})

	t.Run("all killed and brought back", func(t *testing.T) {
		b, _, servers := threeServers(t, binary, nil)
		before := generateOne(t, b)
		for _, s := range servers {
			s.Kill()
		}
		allFail(t, b, before, func() (context.Context, context.CancelFunc) {
			return context.WithCancel(t.Context()) // no deadline: the client's own limits
		})
		for _, s := range servers {
			s.Restart(t)
		}
		if key, err := b.Decrypt(t.Context(), "app-1", before.Ciphertext, someContext); err != nil || !key.Equal(before.Key) {
			t.Errorf("the first call with the servers back: error %v, or another key", err)
		}
		hammer(t, b, func() {})
	})

	t.Run("all killed, and a cache with grace", func(t *testing.T) {
		b, d, servers := threeServers(t, binary, nil)
		cached := cache.New(b.Backend(), &cache.Options{TTL: time.Nanosecond, Grace: time.Hour})
		t.Cleanup(func() { cached.Close() })
		c := kms.NewClient(cached, nil)
		known, unknown := generateOne(t, c), generateOne(t, c)
		opens := func(when string) {
			t.Helper()
			if key, err := c.Decrypt(t.Context(), "app-1", known.Ciphertext, someContext); err != nil || !key.Equal(known.Key) {
				t.Errorf("%s: error %v, or another key", when, err)
			}
		}
		opens("servers are well")
		for _, s := range servers {
			s.Kill()
		}
		var wait sync.WaitGroup
		for range 20 {
			wait.Go(func() { opens("all servers are killed") })
			wait.Go(func() {
				if _, err := c.Decrypt(t.Context(), "app-1", unknown.Ciphertext, someContext); !errors.Is(err, kms.ErrUnreachable) {
					t.Errorf("a data key that was never opened: error %v, want %v", err, kms.ErrUnreachable)
				}
			})
		}
		wait.Wait()
		if cached.Stats().Graced == 0 {
			t.Errorf("nothing was opened by grace: %+v", cached.Stats())
		}
		// The key goes while the servers are away: their word ends the grace.
		if err := os.Remove(filepath.Join(d.KeyStore, "app-1")); err != nil {
			t.Fatal(err)
		}
		for _, s := range servers {
			s.Restart(t)
		}
		if _, err := c.Decrypt(t.Context(), "app-1", known.Ciphertext, someContext); !errors.Is(err, kms.ErrKeyNotFound) {
			t.Errorf("with the servers back and the key gone: error %v, want %v", err, kms.ErrKeyNotFound)
		}
	})

	// A try would last an hour: a call ends in time only if it heeds the
	// caller's deadline.
	patient := &kes.Options{TryTimeout: time.Hour}
	soon := func() (context.Context, context.CancelFunc) {
		return context.WithTimeout(t.Context(), 100*time.Millisecond)
	}
	t.Run("all killed, and a deadline", func(t *testing.T) {
		b, _, servers := threeServers(t, binary, patient)
		before := generateOne(t, b)
		for _, s := range servers {
			s.Kill()
		}
		allFail(t, b, before, soon)
	})
	t.Run("all hung, and a deadline", func(t *testing.T) {
		b, _, servers := threeServers(t, binary, patient)
		before := generateOne(t, b)
		for _, s := range servers {
			s.Suspend(t)
		}
		allFail(t, b, before, soon)
		for _, s := range servers {
			s.Resume(t)
		}
		if key, err := b.Decrypt(t.Context(), "app-1", before.Ciphertext, someContext); err != nil || !key.Equal(before.Key) {
			t.Errorf("the first call with the servers back: error %v, or another key", err)
		}
	})
}

var someContext = kms.AssociatedData{"bucket": "bucket/dir/object"}

func threeServers(t *testing.T, binary string, o *kes.Options) (*kms.Client, *kesproc.Deployment, []*kesproc.Server) {
	t.Helper()
	d := kesproc.NewDeployment(t, binary, nil)
	servers := []*kesproc.Server{d.Start(t), d.Start(t), d.Start(t)}
	createKeys(t, d, servers[0])
	return kms.NewClient(backend(t, d, apiKey(t, d.APIKey), o, servers...), nil), d, servers
}

func generateOne(t *testing.T, c *kms.Client) kms.GeneratedKey {
	t.Helper()
	key, err := c.GenerateKey(t.Context(), "app-1", someContext)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// timedCall is one call to the key servers, as its caller saw it.
type timedCall struct{ start, end time.Time }

func (c timedCall) duration() time.Duration { return c.end.Sub(c.start) }

func longest(calls []timedCall) (d time.Duration) {
	for _, c := range calls {
		d = max(d, c.duration())
	}
	return d
}

// hammer makes 1,000 data keys and opens each again, 8 at a time, and fails the
// test for every call that fails. After a quarter of them fault is called, and
// the second half waits until it has happened.
func hammer(t *testing.T, c *kms.Client, fault func()) []timedCall {
	t.Helper()
	const pairs, workers = 1000, 8
	var (
		next     atomic.Int64
		quarter  = make(chan struct{})
		happened = make(chan struct{})
		mu       sync.Mutex
		calls    []timedCall
		failed   []error
		wait     sync.WaitGroup
	)
	timed := func(call func() error) error {
		start := time.Now()
		err := call()
		mu.Lock()
		defer mu.Unlock()
		calls = append(calls, timedCall{start, time.Now()})
		if err != nil {
			failed = append(failed, err)
		}
		return err
	}
	for range workers {
		wait.Go(func() {
			for i := next.Add(1); i <= pairs; i = next.Add(1) {
				if i == pairs/4 {
					close(quarter)
				}
				if i > pairs/2 {
					<-happened
				}
				var made kms.GeneratedKey
				err := timed(func() (err error) {
					made, err = c.GenerateKey(t.Context(), "app-1", someContext)
					return err
				})
				if err != nil {
					continue
				}
				_ = timed(func() error {
					opened, err := c.Decrypt(t.Context(), "app-1", made.Ciphertext, someContext)
					if err == nil && !opened.Equal(made.Key) {
						err = errors.New("the opened data key is another one")
					}
					return err
				})
			}
		})
	}
	<-quarter
	fault()
	close(happened)
	wait.Wait()
	if len(failed) > 0 {
		t.Errorf("%d of %d calls failed, the first: %v", len(failed), len(calls), failed[0])
	} else if len(calls) != 2*pairs {
		t.Errorf("%d calls, want %d", len(calls), 2*pairs)
	}
	return calls
}

// allFail makes calls of both sorts at once. Each has to fail, for no other
// reason than that no server answers.
func allFail(t *testing.T, c *kms.Client, sealed kms.GeneratedKey, within func() (context.Context, context.CancelFunc)) {
	t.Helper()
	var wait sync.WaitGroup
	for range 20 {
		wait.Go(func() {
			ctx, cancel := within()
			defer cancel()
			if _, err := c.GenerateKey(ctx, "app-1", someContext); !errors.Is(err, kms.ErrUnreachable) {
				t.Errorf("GenerateKey: error %v, want %v", err, kms.ErrUnreachable)
			}
		})
		wait.Go(func() {
			ctx, cancel := within()
			defer cancel()
			if _, err := c.Decrypt(ctx, "app-1", sealed.Ciphertext, someContext); !errors.Is(err, kms.ErrUnreachable) {
				t.Errorf("Decrypt: error %v, want %v", err, kms.ErrUnreachable)
			}
		})
	}
	wait.Wait()
}
