// Package rewrapper seals the object keys of a whole store anew: for a new key, a
// new encryption context, or another key server. No data is read or written, only
// metadata.
//
//	Store.List ──► sse.RewrapAs (one Decrypt, one GenerateKey) ──► Store.Replace
//
// A backend implements [Store], two methods, and calls [Run]. A run can be killed
// at any point: every object is either as before or done, and another run passes over
// what is done, without a request to the key server. [Report.Position] spares it
// the way there.
//
// A run changes what it meets. Objects written while it runs are sealed as their
// requests say: make the new key the default first, run, and run again until
// nothing is rewrapped; then [Report.Keys] no longer has the old key, and it can
// be deleted, unless something outside of the store needs it. A MinIO server's own
// settings and users do, if it was their default key (package kms/blob): without it the
// server starts, and serves objects, but does not find them.
package rewrapper

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"sync"

	"github.com/objseal/objseal/kms"
	"github.com/objseal/objseal/sse"
)

// An Item is one version of an object, or an unfinished multipart upload.
type Item struct {
	// Position is where the item stands in the order of List.
	Position string
	Name     sse.ObjectName
	// Metadata has the entries of package sse.
	Metadata map[string]string
	// Ref is the backend's own, for Replace: a version id, a file name.
	Ref any
}

// Store is a backend's side. Replace may be called by several goroutines.
type Store interface {
	// List yields all items behind the position after ("": all), in an order that
	// stays the same from run to run. An error ends it.
	List(ctx context.Context, after string) iter.Seq2[Item, error]

	// Replace stores metadata in place of item.Metadata: whole or not at all, and
	// only if item.Metadata is still what is stored, else ErrChanged.
	Replace(ctx context.Context, item Item, metadata map[string]string) error
}

// ErrChanged is what Replace returns for an item that has changed since it was
// listed, or is gone. It was sealed by whoever changed it, and is left alone.
var ErrChanged = errors.New("the object has changed since it was listed")

// Options are the settings of Run. The zero value rewraps every object under
// SSE-S3 and SSE-KMS that is not under the new key.
type Options struct {
	// From opens the old keys; nil: the client that seals the new ones. Where both
	// have a key of the new name, an object under that name costs a request to
	// find out whose it is.
	From *kms.Client
	// KeyIDs are the keys whose objects are rewrapped; empty: all.
	KeyIDs []string
	// Select says which items are; nil: all.
	Select func(Item, sse.Method) bool
	// Context is the new context of objects under SSE-KMS; nil: each keeps its own.
	Context kms.AssociatedData
	// CustomerKeys returns the old and the new key of an object under SSE-C, zero
	// keys to pass it over; nil passes all of them over.
	CustomerKeys func(context.Context, Item) (old, new sse.CustomerKey, err error)
	// AllowLegacySeal is that of sse.OpenOptions, for objects under SSE-C.
	AllowLegacySeal bool

	// DryRun changes nothing and asks no key server: the Report says what would be
	// done. What is under a key of the new name counts as done then.
	DryRun bool
	// Workers is how many items are worked on at a time, 1 to 256; 0: 8.
	Workers int
	// After is the Position of a Report: items up to it are not looked at.
	After string
	// Progress is told after every item, in their order, by one goroutine.
	Progress func(Report)
	// OnError is told of an item that failed, in their order. It returns nil to go
	// on behind it. Nil: the first failure ends the run.
	OnError func(Item, error) error
}

// A Report says what a run has done so far.
type Report struct {
	Listed    int64 // items looked at
	Rewrapped int64 // or would be, in a dry run
	Done      int64 // under the new key already
	Skipped   int64 // not encrypted, or not selected
	Changed   int64 // by somebody else while they were worked on
	Failed    int64
	// Position of the last item before which everything is settled: what Options.After
	// takes.
	Position string
	// Keys counts the items by the key they are under now, those that failed
	// included; SSE-C has none.
	Keys map[string]int64
}

func (r Report) clone() Report {
	r.Keys = maps.Clone(r.Keys)
	return r
}

// outcome is what became of one item.
type outcome int

const (
	rewrapped outcome = iota
	done
	skipped
	changed
	failed
)

// job is an item on its way through a worker.
type job struct {
	item    Item
	settled chan struct{}

	outcome outcome
	keyID   string // it is under now; empty: none
	err     error  // of failed
}

// Run rewraps the items of store: keyID names the new key, which must not be left
// to a default, as a run could not know then what is done. It may be empty if only
// customer keys are changed. The Report is good beside an error too.
//
// Errors: those of store and of sse.RewrapAs, with the object's name; that of ctx;
// sse.ErrInvalidRequest for options that make no sense.
func Run(ctx context.Context, client *kms.Client, store Store, keyID string, o *Options) (Report, error) {
	r := runner{client: client, store: store, keyID: keyID, report: Report{Keys: make(map[string]int64)}}
	if o != nil {
		r.o = *o
	}
	r.report.Position = r.o.After
	if r.o.Workers == 0 {
		r.o.Workers = 8
	}
	switch {
	case r.o.Workers < 1 || r.o.Workers > 256:
		return r.report, fmt.Errorf("failed to rewrap: %w: %d workers", sse.ErrInvalidRequest, r.o.Workers)
	case keyID == "" && r.o.CustomerKeys == nil:
		return r.report, fmt.Errorf("failed to rewrap: %w: the new key must be named", sse.ErrInvalidRequest)
	}
	if r.o.From == nil {
		r.o.From = client
	}
	if err := r.run(ctx); err != nil {
		return r.report.clone(), fmt.Errorf("failed to rewrap: %w", err)
	}
	return r.report.clone(), nil
}

type runner struct {
	client *kms.Client
	store  Store
	keyID  string
	o      Options
	report Report
}

// run hands items to the workers in the order of the list, and settles them in the
// same order, so that there is a position behind which nothing is open.
func (r *runner) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	var group sync.WaitGroup
	defer group.Wait()
	defer cancel()

	work := make(chan *job)
	order := make(chan *job, 2*r.o.Workers)
	var listErr error // read after order is closed
	group.Go(func() {
		defer close(order)
		defer close(work)
		listErr = r.list(ctx, order, work)
	})
	for range r.o.Workers {
		group.Go(func() {
			for j := range work {
				r.rewrap(ctx, j)
				close(j.settled)
			}
		})
	}
	for j := range order {
		select {
		case <-j.settled:
		case <-ctx.Done(): // it may never reach a worker
			return ctx.Err()
		}
		if err := r.settle(j); err != nil {
			return err
		}
	}
	return listErr
}

func (r *runner) list(ctx context.Context, order, work chan<- *job) error {
	for item, err := range r.store.List(ctx, r.o.After) {
		if err != nil {
			return fmt.Errorf("failed to list objects: %w", err)
		}
		j := &job{item: item, settled: make(chan struct{})}
		for _, to := range []chan<- *job{order, work} {
			select {
			case to <- j:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
	return ctx.Err()
}

// settle counts one item.
func (r *runner) settle(j *job) error {
	r.report.Listed++
	if j.keyID != "" {
		r.report.Keys[j.keyID]++
	}
	switch j.outcome {
	case rewrapped:
		r.report.Rewrapped++
	case done:
		r.report.Done++
	case skipped:
		r.report.Skipped++
	case changed:
		r.report.Changed++
	case failed:
		r.report.Failed++
		if r.o.OnError == nil {
			return j.err
		}
		if err := r.o.OnError(j.item, j.err); err != nil {
			return err
		}
	}
	r.report.Position = j.item.Position
	if r.o.Progress != nil {
		r.o.Progress(r.report.clone())
	}
	return nil
}

// rewrap works on one item.
func (r *runner) rewrap(ctx context.Context, j *job) {
	j.outcome, j.err = r.one(ctx, j)
	if j.err != nil {
		j.outcome = failed
		if errors.Is(j.err, ErrChanged) {
			j.outcome, j.err = changed, nil
		}
	}
}

func (r *runner) one(ctx context.Context, j *job) (outcome, error) {
	keys, err := sse.DescribeKeys(j.item.Metadata)
	if errors.Is(err, sse.ErrNotEncrypted) {
		return skipped, nil
	}
	if err != nil {
		return 0, fmt.Errorf("object %s: %w", j.item.Name, err)
	}
	j.keyID = keys.KMSKeyID
	if r.o.Select != nil && !r.o.Select(j.item, keys.Method) {
		return skipped, nil
	}
	to := sse.Request{Method: keys.Method}
	open := &sse.OpenOptions{AllowLegacySeal: r.o.AllowLegacySeal}
	switch {
	case keys.Method == sse.C:
		if r.o.CustomerKeys == nil {
			return skipped, nil
		}
		if open.CustomerKey, to.CustomerKey, err = r.o.CustomerKeys(ctx, j.item); err != nil {
			return 0, fmt.Errorf("failed to get the customer keys of %s: %w", j.item.Name, err)
		}
		if open.CustomerKey.IsZero() || to.CustomerKey.IsZero() {
			return skipped, nil
		}
		if !keys.LegacySeal && sse.CheckKeys(ctx, nil, j.item.Name, j.item.Metadata, &sse.OpenOptions{CustomerKey: to.CustomerKey}) == nil {
			return done, nil
		}
	case r.keyID == "" || len(r.o.KeyIDs) > 0 && !slices.Contains(r.o.KeyIDs, keys.KMSKeyID):
		return skipped, nil
	default:
		to.KMSKeyID = r.keyID
		if keys.Method == sse.KMS {
			to.Context = r.o.Context
		}
		if is, err := r.isDone(ctx, j, keys); is || err != nil {
			return done, err
		}
	}
	if r.o.DryRun {
		return rewrapped, nil
	}
	metadata, err := sse.RewrapAs(ctx, r.o.From, j.item.Name, j.item.Metadata, open, r.client, j.item.Name, to)
	if err != nil {
		return 0, err
	}
	if err := r.store.Replace(ctx, j.item, metadata); err != nil {
		return 0, fmt.Errorf("failed to store the metadata of %s: %w", j.item.Name, err)
	}
	j.keyID = to.KMSKeyID
	return rewrapped, nil
}

// isDone reports whether an item is under the new key, and has the new context.
func (r *runner) isDone(ctx context.Context, j *job, keys sse.Description) (bool, error) {
	if keys.KMSKeyID != r.keyID || keys.Method == sse.KMS && r.o.Context != nil && !maps.Equal(keys.Context, r.o.Context) {
		return false, nil
	}
	if r.o.From == r.client || r.o.DryRun {
		return true, nil
	}
	// Two key servers have a key of that name.
	err := sse.CheckKeys(ctx, r.client, j.item.Name, j.item.Metadata, nil)
	if errors.Is(err, kms.ErrNotAuthentic) {
		return false, nil
	}
	return err == nil, err
}
