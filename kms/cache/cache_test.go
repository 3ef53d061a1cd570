package cache

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/objseal/objseal/kms"
	"github.com/objseal/objseal/kms/kmstest"
)

// These tests are inside of the package because they look at the memory of what
// was evicted. Those with a clock run in a synctest bubble: it has a clock of its
// own, and fails if a goroutine is left.

func TestConformance(t *testing.T) {
	t.Run("cache", func(t *testing.T) {
		kmstest.Run(t, func(t *testing.T) kmstest.Harness {
			c := New(kmstest.NewBackend("key-1", "key-2"), nil)
			t.Cleanup(func() { c.Close() })
			return kmstest.Harness{Backend: c, KeyIDs: [2]string{"key-1", "key-2"}}
		})
	})
	t.Run("cache of one entry, with grace", func(t *testing.T) {
		kmstest.Run(t, func(t *testing.T) kmstest.Harness {
			c := New(kmstest.NewBackend("key-1", "key-2"), &Options{MaxEntries: 1, Grace: time.Hour})
			return kmstest.Harness{Backend: c, KeyIDs: [2]string{"key-1", "key-2"}}
		})
	})
	t.Run("closed cache", func(t *testing.T) {
		kmstest.Run(t, func(t *testing.T) kmstest.Harness {
			c := New(kmstest.NewBackend("key-1", "key-2"), nil)
			c.Close()
			return kmstest.Harness{Backend: c, KeyIDs: [2]string{"key-1", "key-2"}}
		})
	})
}

// slow is a backend that answers when it is told to, and keeps what it gave.
type slow struct {
	*kmstest.Backend
	release chan struct{} // nil: at once

	mu    sync.Mutex
	given []kms.DataKey
	ended []error // of the contexts, when a call ended
}

func (s *slow) Decrypt(ctx context.Context, keyID string, ciphertext []byte, ad kms.AssociatedData) (kms.DataKey, error) {
	if s.release != nil {
		select {
		case <-s.release:
		case <-ctx.Done():
		}
	}
	key, err := s.Backend.Decrypt(ctx, keyID, ciphertext, ad)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = append(s.ended, ctx.Err())
	if err == nil {
		s.given = append(s.given, key)
	}
	return key, err
}

func (s *slow) DeleteKey(_ context.Context, keyID string) error {
	s.Delete(keyID)
	return nil
}

// rig is a cache over a fake, with data keys to open.
type rig struct {
	t       *testing.T
	backend *slow
	*Cache
	made []kms.GeneratedKey
}

func newRig(t *testing.T, o *Options) *rig {
	r := &rig{t: t, backend: &slow{Backend: kmstest.NewBackend("key", "other")}}
	r.Cache = New(r.backend, o)
	for range 4 {
		r.made = append(r.made, r.generate("key"))
	}
	return r
}

func (r *rig) generate(keyID string) kms.GeneratedKey {
	r.t.Helper()
	made, err := r.backend.GenerateKey(r.t.Context(), keyID, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	return made
}

func (r *rig) decrypt(g kms.GeneratedKey) error {
	r.t.Helper()
	key, err := r.Decrypt(r.t.Context(), g.KeyID, g.Ciphertext, nil)
	if err == nil && !key.Equal(g.Key) {
		r.t.Error("another data key")
	}
	if err != nil && !key.IsZero() {
		r.t.Error("an error, and a data key")
	}
	return err
}

func (r *rig) opens(g kms.GeneratedKey) {
	r.t.Helper()
	if err := r.decrypt(g); err != nil {
		r.t.Error(err)
	}
}

func (r *rig) fails(g kms.GeneratedKey, want error) {
	r.t.Helper()
	if err := r.decrypt(g); !errors.Is(err, want) {
		r.t.Errorf("%v, want %v", err, want)
	}
}

// asked demands that the backend was asked n times until now.
func (r *rig) asked(n int) {
	r.t.Helper()
	if got := r.backend.Calls(kms.OpDecrypt); got != n {
		r.t.Errorf("the backend was asked %d times, want %d", got, n)
	}
}

// buffers returns the memory of every entry.
func (r *rig) buffers() (all [][]byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range r.entries.Values() {
		all = append(all, e.key.Bytes())
	}
	return all
}

func wiped(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}

func TestOneRequestForParallelCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.backend.release = make(chan struct{})
		const n = 1000
		var wait sync.WaitGroup
		for range n {
			wait.Go(func() {
				key, err := r.Decrypt(t.Context(), "key", r.made[0].Ciphertext, nil)
				if err != nil || !key.Equal(r.made[0].Key) {
					t.Errorf("%v, or another key", err)
				}
				key.Wipe() // its own copy: the others are not to notice
			})
		}
		synctest.Wait()
		close(r.backend.release)
		wait.Wait()
		r.asked(1)
		if s := r.Stats(); s.Misses != 1 || s.Shared != n-1 || s.Entries != 1 {
			t.Errorf("%+v", s)
		}
		r.opens(r.made[0])
		r.asked(1)
		if !wiped(r.backend.given[0].Bytes()) {
			t.Error("what the backend gave is still in memory")
		}
	})
}

func TestCancelledCallLeavesAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.backend.release = make(chan struct{})
		first, cancel := context.WithCancel(t.Context())
		var wait sync.WaitGroup
		wait.Go(func() {
			if key, err := r.Decrypt(first, "key", r.made[0].Ciphertext, nil); !errors.Is(err, context.Canceled) || !key.IsZero() {
				t.Errorf("the one that left: %v", err)
			}
		})
		synctest.Wait()
		for range 3 {
			wait.Go(func() { r.opens(r.made[0]) })
		}
		synctest.Wait()
		cancel() // the one that began the request
		synctest.Wait()
		close(r.backend.release)
		wait.Wait()
		r.asked(1)
	})
}

func TestLastOneEndsTheRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.backend.release = make(chan struct{})
		ctx, cancel := context.WithCancel(t.Context())
		var wait sync.WaitGroup
		for range 3 {
			wait.Go(func() {
				if _, err := r.Decrypt(ctx, "key", r.made[0].Ciphertext, nil); !errors.Is(err, context.Canceled) {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		cancel()
		wait.Wait()
		synctest.Wait()
		if len(r.backend.ended) != 1 || r.backend.ended[0] == nil {
			t.Errorf("the request goes on: %v", r.backend.ended)
		}
		// Nobody joins a request that was ended.
		close(r.backend.release)
		r.opens(r.made[0])
		r.asked(2)
	})
}

func TestTTL(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, &Options{TTL: time.Minute})
		r.opens(r.made[0])
		time.Sleep(time.Minute - time.Nanosecond)
		r.opens(r.made[0])
		r.asked(1)
		time.Sleep(time.Nanosecond)
		r.opens(r.made[0])
		r.asked(2)
		time.Sleep(time.Minute - time.Nanosecond) // anew from the last answer
		r.opens(r.made[0])
		r.asked(2)
		r.Close()
	})
}

func TestDefaultTTL(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.opens(r.made[0])
		time.Sleep(5*time.Minute - time.Nanosecond)
		r.opens(r.made[0])
		r.asked(1)
		time.Sleep(time.Nanosecond)
		r.opens(r.made[0])
		r.asked(2)
		r.Close()
	})
}

// TestEvictionWipes holds the memory of entries and looks at it right after
// whatever evicts them: synchronously, no goroutine had time to run.
func TestEvictionWipes(t *testing.T) {
	for name, evict := range map[string]func(r *rig){
		"size": func(r *rig) { r.opens(r.made[1]); r.opens(r.made[2]) },
		"TTL, asked for": func(r *rig) {
			r.backend.Fail(kms.ErrUnreachable)
			time.Sleep(time.Hour)
			r.fails(r.made[0], kms.ErrUnreachable)
		},
		"TTL, replaced": func(r *rig) { time.Sleep(time.Minute); r.opens(r.made[0]) },
		"TTL, nobody asks": func(r *rig) {
			time.Sleep(3 * time.Minute)
			synctest.Wait()
		},
		"purge": func(r *rig) { r.Purge() },
		"close": func(r *rig) { r.Close() },
		"not found": func(r *rig) {
			r.backend.Delete("key")
			r.fails(r.made[1], kms.ErrKeyNotFound) // of another ciphertext
		},
		"not found by GenerateKey": func(r *rig) {
			r.backend.Delete("key")
			r.GenerateKey(r.t.Context(), "key", nil)
		},
		"not found by DescribeKey": func(r *rig) {
			r.backend.Delete("key")
			r.DescribeKey(r.t.Context(), "key")
		},
		"delete": func(r *rig) { r.DeleteKey(r.t.Context(), "key") },
		"not permitted": func(r *rig) {
			r.backend.Fail(kms.ErrNotPermitted)
			r.fails(r.made[1], kms.ErrNotPermitted)
		},
		"not authentic": func(r *rig) {
			time.Sleep(time.Minute)
			r.backend.Fail(kms.ErrNotAuthentic)
			r.fails(r.made[0], kms.ErrNotAuthentic)
		},
	} {
		for _, grace := range []time.Duration{0, time.Minute} {
			t.Run(fmt.Sprintf("%s, grace=%v", name, grace), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					r := newRig(t, &Options{TTL: time.Minute, MaxEntries: 2, Grace: grace})
					r.opens(r.made[0])
					held := r.buffers()
					if len(held) != 1 || string(held[0]) != string(r.made[0].Key.Bytes()) {
						t.Fatal("the entry is not there")
					}
					evict(r)
					if !wiped(held[0]) {
						t.Error("the data key is still in memory")
					}
					for _, key := range r.backend.given {
						if !wiped(key.Bytes()) {
							t.Error("what the backend gave is still in memory")
						}
					}
					if r.Stats().Evicted == 0 {
						t.Error("not counted")
					}
					r.Close()
				})
			})
		}
	}
}

// TestNoEvidence: what says nothing of the key, or of another one, evicts
// nothing.
func TestNoEvidence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, &Options{TTL: time.Minute})
		other := r.generate("other")
		r.opens(r.made[0])
		r.opens(r.made[1])
		r.opens(other)
		r.backend.Delete("other")
		r.backend.Fail(kms.ErrUnreachable)
		r.fails(r.made[2], kms.ErrUnreachable)
		r.backend.Fail(kms.ErrNotAuthentic)
		r.fails(r.made[2], kms.ErrNotAuthentic)
		r.backend.Fail(nil)
		r.GenerateKey(t.Context(), "other", nil)
		r.opens(r.made[0])
		r.opens(r.made[1])
		r.asked(5)
		r.fails(other, kms.ErrKeyNotFound)
		r.Close()
	})
}

func TestLeastRecentlyUsedGoes(t *testing.T) {
	r := newRig(t, &Options{MaxEntries: 2})
	r.opens(r.made[0])
	r.opens(r.made[1])
	r.opens(r.made[0])
	r.opens(r.made[2])
	r.asked(3)
	r.opens(r.made[0])
	r.opens(r.made[2])
	r.asked(3)
	r.opens(r.made[1])
	r.asked(4)
	if s := r.Stats(); s.Entries != 2 || s.Evicted != 2 || s.Hits != 3 || s.Misses != 4 {
		t.Errorf("%+v", s)
	}
	r.Close()
}

func TestGrace(t *testing.T) {
	down := fmt.Errorf("%w: connection refused", kms.ErrUnreachable)
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, &Options{TTL: time.Minute, Grace: time.Hour})
		r.opens(r.made[0])
		time.Sleep(time.Minute)
		r.opens(r.made[0])
		r.asked(2) // grace is not a longer TTL
		r.backend.Fail(down)
		time.Sleep(time.Hour + time.Minute - time.Nanosecond)
		r.opens(r.made[0])
		r.asked(3) // asked first
		if s := r.Stats(); s.Graced != 1 {
			t.Errorf("%+v", s)
		}
		r.fails(r.made[1], kms.ErrUnreachable) // never opened before
		held := r.buffers()
		time.Sleep(2 * time.Nanosecond)
		r.fails(r.made[0], kms.ErrUnreachable)
		if len(held) != 1 || !wiped(held[0]) {
			t.Error("after the grace the data key is still in memory")
		}
		r.backend.Fail(nil)
		r.opens(r.made[0])
		r.Close()
	})
	for name, failure := range map[string]error{
		"not found": kms.ErrKeyNotFound, "not permitted": kms.ErrNotPermitted, "not authentic": kms.ErrNotAuthentic, "of no kind": errors.New("failed"),
	} {
		t.Run("not while "+name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, &Options{TTL: time.Minute, Grace: time.Hour})
				r.opens(r.made[0])
				time.Sleep(time.Minute)
				r.backend.Fail(failure)
				r.fails(r.made[0], failure)
				r.Close()
			})
		})
	}
	t.Run("off by default", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, &Options{TTL: time.Minute})
			r.opens(r.made[0])
			time.Sleep(time.Minute)
			r.backend.Fail(down)
			r.fails(r.made[0], kms.ErrUnreachable)
			r.Close()
		})
	})
	t.Run("a server that hangs", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, &Options{TTL: time.Minute, Grace: time.Hour})
			r.opens(r.made[0])
			time.Sleep(time.Minute)
			r.backend.release = make(chan struct{})
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			key, err := r.Decrypt(ctx, "key", r.made[0].Ciphertext, nil)
			if err != nil || !key.Equal(r.made[0].Key) {
				t.Errorf("%v, or another key", err)
			}
			ctx, cancel = context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			if _, err := r.Decrypt(ctx, "key", r.made[1].Ciphertext, nil); !errors.Is(err, context.DeadlineExceeded) {
				t.Error(err)
			}
			r.Close()
		})
	})
}

// TestPurgeDuringRequest: the answer of a request that was under way is passed
// on and not kept, and no call that begins later gets it.
func TestPurgeDuringRequest(t *testing.T) {
	for name, evict := range map[string]func(r *rig){
		"purge": func(r *rig) { r.Purge() },
		"close": func(r *rig) { r.Close() },
		"the key is not there any more": func(r *rig) {
			r.learn("key", kms.ErrKeyNotFound)
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, nil)
				r.backend.release = make(chan struct{})
				var wait sync.WaitGroup
				wait.Go(func() { r.opens(r.made[0]) })
				synctest.Wait()
				evict(r)
				wait.Go(func() { r.opens(r.made[0]) })
				synctest.Wait()
				evict(r)
				close(r.backend.release)
				wait.Wait()
				r.asked(2)
				if s := r.Stats(); s.Entries != 0 {
					t.Errorf("%+v", s)
				}
			})
		})
	}
}

// TestEntriesAreApart: another key id, ciphertext or associated data is another
// question.
func TestEntriesAreApart(t *testing.T) {
	b := kmstest.NewBackend("key", "other")
	c := New(b, nil)
	defer c.Close()
	ad := kms.AssociatedData{"bucket": "bucket/object"}
	g, err := c.GenerateKey(t.Context(), "key", ad)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Decrypt(t.Context(), "key", g.Ciphertext, ad); err != nil || b.Calls(kms.OpDecrypt) != 1 {
		t.Fatalf("%v; a new data key is not remembered: %d calls", err, b.Calls(kms.OpDecrypt))
	}
	changed := append([]byte{}, g.Ciphertext...)
	changed[0] ^= 1
	for name, err := range map[string]error{
		"key id":          second(c.Decrypt(t.Context(), "other", g.Ciphertext, ad)),
		"ciphertext":      second(c.Decrypt(t.Context(), "key", changed, ad)),
		"associated data": second(c.Decrypt(t.Context(), "key", g.Ciphertext, nil)),
	} {
		if !errors.Is(err, kms.ErrNotAuthentic) {
			t.Errorf("another %s: %v", name, err)
		}
	}
	if _, err := c.Decrypt(t.Context(), "key", g.Ciphertext, ad); err != nil || b.Calls(kms.OpDecrypt) != 4 {
		t.Errorf("%v, %d calls", err, b.Calls(kms.OpDecrypt))
	}
}

func second(_ kms.DataKey, err error) error { return err }

// TestChangedArguments: a caller that gave up may change what it passed.
func TestChangedArguments(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.backend.release = make(chan struct{})
		sent := append([]byte{}, r.made[0].Ciphertext...)
		ctx, cancel := context.WithCancel(t.Context())
		var wait sync.WaitGroup
		wait.Go(func() { r.Decrypt(ctx, "key", sent, nil) })
		synctest.Wait()
		wait.Go(func() { r.opens(r.made[0]) })
		synctest.Wait()
		cancel()
		synctest.Wait()
		clear(sent)
		close(r.backend.release)
		wait.Wait()
		r.asked(1)
	})
}

// bare has nothing but what a Backend must have.
type bare struct{ kms.Backend }

func TestOptionalParts(t *testing.T) {
	c := New(bare{kmstest.NewBackend("key")}, nil)
	_, errDescribe := c.DescribeKey(t.Context(), "key")
	_, errList := c.ListKeys(t.Context(), "")
	_, errEncrypt := c.Encrypt(t.Context(), "key", nil, nil)
	for _, err := range []error{c.CreateKey(t.Context(), "new"), c.ImportKey(t.Context(), "new", nil, ""), c.DeleteKey(t.Context(), "key"), errDescribe, errList, errEncrypt} {
		if !errors.Is(err, kms.ErrUnsupported) {
			t.Error(err)
		}
	}
	if _, ok := c.Unwrap().(bare); !ok {
		t.Error("Unwrap returns another backend")
	}
}

// TestConcurrentUse is for the race detector: hits, evictions and purges at
// once, and every answer right.
func TestConcurrentUse(t *testing.T) {
	r := newRig(t, &Options{MaxEntries: 2, TTL: time.Millisecond, Grace: time.Millisecond})
	defer r.Close()
	var wait sync.WaitGroup
	for i := range 8 {
		wait.Go(func() {
			for j := range 500 {
				r.opens(r.made[(i+j)%len(r.made)])
				if j%50 == 0 {
					r.Purge()
				}
			}
		})
	}
	wait.Wait()
}
