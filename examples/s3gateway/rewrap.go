package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"

	"github.com/objseal/objseal/kms"
	"github.com/objseal/objseal/kms/kmsenv"
	"github.com/objseal/objseal/sse"
	"github.com/objseal/objseal/sse/rewrapper"
)

const rewrapUsage = `usage: s3gateway rewrap --dir DIR --to KEY [--from KEY]... [--dry-run] [--resume] [--json]

Seals the keys of all objects and unfinished uploads under KEY. No data is read
or written. It may run beside a server, which should have KEY as its default by
then, and be killed and started again. Objects with customer keys stay as they are.

Keys come from the variables that the server reads. To move to another key server, or
from a built-in key to one, set those of the old keys with OLD_ in front:
OLD_MINIO_KMS_SECRET_KEY=…. A server has one source of keys: stop it meanwhile.

`

// A position is where a run was when it last wrote that down.
type position struct {
	To    string   `json:"to"`
	From  []string `json:"from,omitempty"`
	After string   `json:"after"`
}

const (
	positionFile  = "_rewrap.json" // no bucket can have that name
	positionEvery = 100            // items between two writes of it
)

// rewrap seals the object keys of a store under another key. It may run beside a server.
func rewrap(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	return rewrapWith(ctx, args, os.LookupEnv, openDurable, stdout, stderr)
}

func rewrapWith(ctx context.Context, args []string, lookup func(string) (string, bool), open func(dir string) (*store, error), stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("s3gateway rewrap", flag.ContinueOnError)
	flags.Usage = func() {
		fmt.Fprint(stderr, rewrapUsage)
		flags.PrintDefaults()
	}
	var p position
	dir := flags.String("dir", "", "`directory` of the server")
	flags.StringVar(&p.To, "to", "", "name of the new `key`")
	flags.Func("from", "old `key` whose objects are rewrapped; may be given several times (default: all)", func(name string) error {
		p.From = append(p.From, name)
		return nil
	})
	dryRun := flags.Bool("dry-run", false, "change nothing, say what would be done")
	resume := flags.Bool("resume", false, "go on where a run to the same key ended")
	asJSON := flags.Bool("json", false, "print the report as JSON")
	if err := parse(flags, args, stderr); err != nil {
		return err
	}
	if *dir == "" || p.To == "" {
		return fmt.Errorf("%w: --dir and --to are needed", errUsage)
	}
	client, from, err := rewrapClients(lookup)
	if err != nil {
		return err
	}
	s, err := open(*dir)
	if err != nil {
		return err
	}
	defer s.root.Close()

	r := rewrapRun{store: s, position: p, stderr: stderr}
	if *resume {
		if r.position.After, err = r.lastPosition(); err != nil {
			return err
		}
	}
	if err := r.checkPlace(ctx, client, *dryRun); err != nil {
		return err
	}
	report, err := r.run(ctx, client, &rewrapper.Options{From: from, KeyIDs: p.From, DryRun: *dryRun, After: r.position.After})
	if *asJSON {
		if err := json.NewEncoder(stdout).Encode(report); err != nil {
			return err
		}
	} else {
		fmt.Fprintln(stdout, summary(report, *dryRun))
	}
	if err == nil && report.Failed > 0 {
		err = fmt.Errorf("%d of %d could not be rewrapped", report.Failed, report.Listed)
	}
	return err
}

// rewrapClients are those of the new keys and of the old ones; the latter is nil if
// they are the same.
func rewrapClients(lookup func(string) (string, bool)) (to, from *kms.Client, err error) {
	if to, _, err = kmsenv.Load(lookup, nil); err != nil {
		return nil, nil, err
	}
	old := func(name string) (string, bool) { return lookup("OLD_" + name) }
	if !kmsenv.HasAny(old) {
		return to, nil, nil
	}
	if from, _, err = kmsenv.Load(old, nil); err != nil {
		return nil, nil, fmt.Errorf("variables of the old keys (OLD_…): %w", err)
	}
	return to, from, nil
}

// checkPlace refuses a directory that is no store, so that a mistyped one is not taken for
// one in which nothing is left to do; and a dry run also asks for the new key, as nothing
// behind it does.
func (r *rewrapRun) checkPlace(ctx context.Context, client *kms.Client, dryRun bool) error {
	buckets, err := r.store.buckets()
	if err != nil {
		return err
	}
	if len(buckets) == 0 {
		return errors.New("there is no bucket in the directory: is it that of the server?")
	}
	if dryRun {
		return sse.BucketEncryption{Method: sse.KMS, KMSKeyID: r.position.To}.Verify(ctx, client)
	}
	return nil
}

func summary(r rewrapper.Report, dryRun bool) string {
	verb := "rewrapped"
	if dryRun {
		verb = "to be rewrapped:"
	}
	line := fmt.Sprintf("%s %d, done before %d, passed over %d, changed by others %d, failed %d", verb, r.Rewrapped, r.Done, r.Skipped, r.Changed, r.Failed)
	separator := "; keys now: "
	for _, key := range slices.Sorted(maps.Keys(r.Keys)) {
		line += fmt.Sprintf("%s%s %d", separator, key, r.Keys[key])
		separator = ", "
	}
	return line
}

// rewrapRun is one run, and the place where it has come to.
type rewrapRun struct {
	store    *store
	position position
	stderr   io.Writer

	failed  bool
	pending int // items since the position was written
}

func (r *rewrapRun) run(ctx context.Context, client *kms.Client, o *rewrapper.Options) (rewrapper.Report, error) {
	show, hide := r.progress()
	defer hide()
	var unwritten error
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	o.Progress = func(report rewrapper.Report) {
		show(report.Listed)
		// An item that failed would be passed over by a run that resumes behind it.
		if r.pending++; r.pending < positionEvery || r.failed || o.DryRun || unwritten != nil {
			return
		}
		if unwritten = r.savePosition(report.Position); unwritten != nil {
			cancel(unwritten)
		}
	}
	o.OnError = func(item rewrapper.Item, err error) error {
		if ctx.Err() != nil {
			return err // nothing of the item's
		}
		r.failed = true
		hide()
		_, err = fmt.Fprintf(r.stderr, "s3gateway: error: %v\n", err)
		return err
	}
	report, err := rewrapper.Run(ctx, client, rewrapStore{r.store}, r.position.To, o)
	switch {
	case unwritten != nil:
		return report, unwritten
	case err == nil && !o.DryRun:
		err = r.store.root.Remove(positionFile)
		if errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
	case err != nil && !r.failed && !o.DryRun:
		err = errors.Join(err, r.savePosition(report.Position))
	}
	return report, err
}

// progress shows how many items there were so far, on a terminal.
func (r *rewrapRun) progress() (show func(int64), hide func()) {
	f, ok := r.stderr.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return func(int64) {}, func() {}
	}
	bar := progressbar.NewOptions64(-1, progressbar.OptionSetWriter(f), progressbar.OptionSetDescription("rewrapping"), progressbar.OptionShowCount(),
		progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionClearOnFinish())
	return func(n int64) { bar.Set64(n) }, func() { bar.Clear() }
}

// lastPosition is where a run with the same keys was, "" if there was none.
func (r *rewrapRun) lastPosition() (string, error) {
	var p position
	if err := r.store.readJSON(positionFile, &p); errors.Is(err, fs.ErrNotExist) {
		return "", nil
	} else if err != nil {
		return "", err
	}
	if p.To != r.position.To || !slices.Equal(p.From, r.position.From) {
		return "", fmt.Errorf("the last run was one to key %q from %q: start this one without --resume", p.To, p.From)
	}
	return p.After, nil
}

func (r *rewrapRun) savePosition(after string) error {
	r.pending, r.position.After = 0, after
	return r.store.writeJSON(positionFile, r.position)
}

// rewrapStore is the store as package rewrapper sees it: first the unfinished uploads of a
// bucket, so that none becomes an object behind its back, then the objects.
type rewrapStore struct{ *store }

// List implements rewrapper.Store.
func (s rewrapStore) List(_ context.Context, after string) iter.Seq2[rewrapper.Item, error] {
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
				if isBehind(item.Position, after) && !yield(item, nil) {
					return
				}
			}
			for r, err := range s.list(bucket) {
				if err != nil {
					yield(rewrapper.Item{}, err)
					return
				}
				item := rewrapper.Item{Position: path.Join(bucket, "1", path.Base(objectDir(r.name()))), Name: r.name(), Metadata: fromBytes(r.Metadata), Ref: r}
				if isBehind(item.Position, after) && !yield(item, nil) {
					return
				}
			}
		}
	}
}

// isBehind compares positions element by element: buckets "a" and "a-b" are in another
// order than the texts "a/0" and "a-b/0".
func isBehind(position, after string) bool {
	return slices.Compare(strings.Split(position, "/"), strings.Split(after, "/")) > 0
}

// Replace implements rewrapper.Store.
func (s rewrapStore) Replace(_ context.Context, item rewrapper.Item, metadata map[string]string) error {
	var err error
	switch old := item.Ref.(type) {
	case *upload:
		changed := *old
		changed.Metadata = toBytes(metadata)
		err = s.replaceUpload(&changed, old)
	case *record:
		changed := *old
		changed.Metadata = toBytes(metadata)
		err = s.put(&changed, old)
	}
	if errors.Is(err, errFaster) || errors.Is(err, errNoSuchUpload) {
		return rewrapper.ErrChanged
	}
	return err
}
