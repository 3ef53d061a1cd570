package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"iter"
	"maps"
	"path"
	"slices"

	"github.com/objseal/objseal/sse/rewrapper"
)

// rewrap seals the object keys of a store under another key. It may run beside a server.
func rewrap(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("s3gateway rewrap", flag.ContinueOnError)
	dir := flags.String("dir", "", "`directory` of the store")
	to := flags.String("to", "", "`name` of the new key")
	dry := flags.Bool("dry-run", false, "only say what would be done")
	after := flags.String("after", "", "`position` that an earlier run has come to")
	var from []string
	flags.Func("from", "`name` of a key whose objects are rewrapped; may be repeated, default all", func(name string) error {
		from = append(from, name)
		return nil
	})
	if err := parse(flags, args, stderr); err != nil {
		return err
	}
	if *dir == "" || *to == "" {
		return fmt.Errorf("%w: --dir and --to are needed", errUsage)
	}
	s, err := openStore(*dir)
	if err != nil {
		return err
	}
	client, err := keys()
	if err != nil {
		return err
	}
	failed := 0
	report, err := rewrapper.Run(ctx, client, &rewrapStore{s}, *to, &rewrapper.Options{
		KeyIDs: from, DryRun: *dry, After: *after,
		OnError: func(item rewrapper.Item, err error) error {
			failed++
			fmt.Fprintf(stderr, "s3gateway: error: %v\n", err)
			return nil
		},
	})
	fmt.Fprintf(stdout, "listed %d, rewrapped %d, under the new key already %d, passed over %d, changed meanwhile %d, failed %d\n",
		report.Listed, report.Rewrapped, report.Done, report.Skipped, report.Changed, report.Failed)
	for _, key := range slices.Sorted(maps.Keys(report.Keys)) {
		fmt.Fprintf(stdout, "key %s: %d\n", key, report.Keys[key])
	}
	fmt.Fprintf(stdout, "position %s\n", report.Position)
	if err == nil && failed > 0 {
		err = errors.New("some objects could not be rewrapped")
	}
	return err
}

// rewrapStore is the store as package rewrapper sees it: first the unfinished uploads of a
// bucket, so that none becomes an object behind its back, then the objects.
type rewrapStore struct{ *store }

// List implements rewrapper.Store.
func (s *rewrapStore) List(ctx context.Context, after string) iter.Seq2[rewrapper.Item, error] {
	return func(yield func(rewrapper.Item, error) bool) {
		buckets, err := s.buckets()
		if err != nil {
			yield(rewrapper.Item{}, err)
			return
		}
		for _, bucket := range buckets {
			uploads, err := s.uploads(bucket)
			if err != nil {
				yield(rewrapper.Item{}, err)
				return
			}
			for _, u := range uploads {
				item := rewrapper.Item{Position: path.Join(bucket, "0", u.id), Name: u.name(), Metadata: fromBytes(u.Metadata), Ref: u}
				if item.Position > after && !yield(item, nil) {
					return
				}
			}
			for r, err := range s.list(bucket) {
				if err != nil {
					yield(rewrapper.Item{}, err)
					return
				}
				item := rewrapper.Item{Position: path.Join(bucket, "1", path.Base(objectDir(r.name()))), Name: r.name(), Metadata: fromBytes(r.Metadata), Ref: r}
				if item.Position > after && !yield(item, nil) {
					return
				}
			}
		}
	}
}

// Replace implements rewrapper.Store.
func (s *rewrapStore) Replace(ctx context.Context, item rewrapper.Item, metadata map[string]string) error {
	if u, ok := item.Ref.(*upload); ok {
		changed := *u
		changed.Metadata = toBytes(metadata)
		if err := s.replaceUpload(&changed); err != errNoSuchUpload {
			return err
		}
		return rewrapper.ErrChanged
	}
	old := item.Ref.(*record)
	changed := *old
	changed.Metadata = toBytes(metadata)
	err := s.put(&changed, old)
	if errors.Is(err, errFaster) {
		return rewrapper.ErrChanged
	}
	return err
}
