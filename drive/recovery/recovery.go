// Package recovery takes everything that can be read off the drives of a MinIO
// deployment to another place: a directory, a tar stream, or any other [Sink].
//
//	drive.Deployment.Walk ──► object: its versions, oldest first
//	version ──► keys ──► verified plaintext, its SHA-256 ──► Sink
//	        ──► a Line of the Report, whatever became of it
//
// Start with [New] and [Recovery.Run]. What fails is a line of the report, and
// everything else is still recovered; only what concerns all ends a run: the Sink takes
// nothing more, the report cannot be written, the context is done.
//
// # What is guaranteed
//
// Content is under its final name only when it was verified to its end, and a line
// with status ok is written after that. A run that was killed at any moment is completed by another with the report
// that [ResumeReport] gives: nothing that has such a line is recovered again.
//
// Objects are worked on in parallel. They take 64 MiB at most together, however large they are, and the
// walk some more (see package drive); a resumed report 16 bytes a line.
//
// # What is not
//
// The report and the files are not synced one by one: after a loss of power, not of
// the process, begin anew.
package recovery

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/objseal/objseal/drive"
	"github.com/objseal/objseal/kms"
	"github.com/objseal/objseal/sse"
)

// Options say what to recover, and with which keys; nil is the latest version of every
// object that needs no key.
type Options struct {
	// Client opens the data keys of SSE-S3 and SSE-KMS; may be nil.
	Client *kms.Client
	// CustomerKeys are the keys of SSE-C; may be nil.
	CustomerKeys *CustomerKeys
	// Report gets the lines; may be nil. What it has Done is left out.
	Report *Report

	// Bucket, Prefix, System, Shard and Shards as in drive.WalkOptions.
	Bucket, Prefix string
	System         bool
	Shard, Shards  int

	// AllVersions recovers every version, not the latest alone.
	AllVersions bool
	// Deleted recovers versions too whose deletion the server had begun.
	Deleted bool
	// Unsettled recovers versions too that the drives do not agree on.
	Unsettled bool
	// Uploads recovers unfinished uploads too. Their names are guessed: they are those of
	// UploadNames, of objects, or of customer keys, or stay unknown, and then only
	// those without encryption can be read.
	Uploads     bool
	UploadNames []sse.ObjectName

	// Failed is called with the line of every version that was not recovered, by one
	// goroutine at a time; may be nil.
	Failed func(*Line)

	// DryRun opens keys, one of each, and reads and writes no content. The Sink may be nil.
	DryRun bool
	// Jobs is how many objects are worked on at most at one time. Default: four for each core.
	Jobs int
}

// A Summary counts what a run did.
type Summary struct {
	OK, Skipped, Failed int64 // versions
	Planned             int64 // among Skipped: what a dry run found recoverable
	Earlier             int64 // of an earlier run, not touched
	DeleteMarkers       int64 // among OK
	Bytes               int64 // plaintext of OK
	Findings            int64
	// Keys that versions need, in no order.
	Keys []KeyUse
}

// KeyUse tells what depends on a key.
type KeyUse struct {
	Method   sse.Method // None for what needs no key
	KMSKeyID string     // empty for SSE-C
	Versions int64
	Bytes    int64
	Missing  int64 // versions that it did not open, or for which there was none
	Err      error // the first reason
}

// Progress is how far a run has come.
type Progress struct{ Versions, Bytes int64 }

// Count says how far a run with these options will come, if all goes well. It walks over the
// drives as the run does.
func Count(ctx context.Context, d *drive.Deployment, o *Options) (p Progress, err error) {
	err = d.Walk(ctx, o.walk(), func(object *drive.Object) error {
		for _, v := range object.Versions {
			if v.Type == drive.FreeVersion || !o.AllVersions && !v.IsLatest {
				continue
			}
			p.Versions++
			if o.Report.Done(v.Bucket, v.Object, v.ID) || v.PurgePending && !o.Deleted || v.Type == drive.DeleteMarker {
				continue
			}
			if d, err := v.Describe(); err == nil {
				p.Bytes += d.Size
			}
		}
		return nil
	})
	return p, err
}

func (o *Options) walk() *drive.WalkOptions {
	return &drive.WalkOptions{Bucket: o.Bucket, Prefix: o.Prefix, System: o.System, Shard: o.Shard, Shards: o.Shards}
}

// A Recovery is one run.
type Recovery struct {
	sink     Sink
	verified bool
	o        Options
	stop     context.CancelCauseFunc
	others   map[string]int // drive: how many other drives of its set were given

	versions, bytes atomic.Int64 // Progress
	running         atomic.Bool

	mu   sync.Mutex
	sum  Summary
	keys map[keyName]*KeyUse
	told map[version]struct{} // findings
}

type keyName struct {
	method sse.Method
	id     string
}

// New returns a run into sink. Nothing is done yet.
func New(sink Sink, o *Options) *Recovery {
	r := &Recovery{sink: sink, stop: func(error) {}, keys: make(map[keyName]*KeyUse), told: make(map[version]struct{})}
	if o != nil {
		r.o = *o
	}
	_, r.verified = sink.(VerifiedSink)
	return r
}

// Finding takes a finding while the run lasts: give it as drive.Options.Report. Those of an object are told in
// its lines anyway, the others get a line here.
func (r *Recovery) Finding(f drive.Finding) {
	if r.running.Load() && f.Object == "" {
		r.finding(f)
	}
}

// finding writes the line of a finding that is no object's. It is an error only if there may be
// objects that no other drive has. Count and the search for names of uploads walk over
// the drives too: what they meet again has its line already.
func (r *Recovery) finding(f drive.Finding) {
	if !r.first(f) {
		return
	}
	l := &Line{Bucket: f.Bucket, Object: f.Object, SSE: method(sse.None)}
	l.addFindings([]drive.Finding{f})
	if f.Problem == drive.DriveMissing || f.Problem == drive.DriveAdopted || r.others[f.Drive] > 0 {
		l.skip(sse.Kind(f.Problem), f.String())
	} else {
		l.fail(sse.Kind(f.Problem), errors.New(f.String()))
	}
	r.write(l)
}

// maxTold bounds how many findings are known again.
const maxTold = 1 << 16

func (r *Recovery) first(f drive.Finding) bool {
	id := versionOf(string(f.Problem), f.Drive+"/"+f.Path, f.Detail)
	r.mu.Lock()
	defer r.mu.Unlock()
	_, known := r.told[id]
	if !known && len(r.told) < maxTold {
		r.told[id] = struct{}{}
	}
	return !known
}

// Progress may be called at any time.
func (r *Recovery) Progress() Progress { return Progress{r.versions.Load(), r.bytes.Load()} }

// Run recovers what the options ask for, and closes the Sink. It fails only with what ended the
// run early; the summary counts the versions that failed.
func (r *Recovery) Run(ctx context.Context, d *drive.Deployment) (Summary, error) {
	ctx, r.stop = context.WithCancelCause(ctx)
	r.lookAtSets(d)
	for _, f := range d.Findings() {
		r.finding(f)
	}
	r.running.Store(true)
	err := r.run(ctx, d)
	r.running.Store(false)
	if cause := context.Cause(ctx); cause != nil {
		err = cause // what it led to is no news
	}
	if r.sink != nil {
		closed := r.sink.Close(context.WithoutCancel(ctx))
		if err == nil {
			err = closed
		}
	}
	r.stop(nil)
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, use := range r.keys {
		r.sum.Keys = append(r.sum.Keys, *use)
	}
	return r.sum, err
}

// lookAtSets counts the drives of each erasure set, and tells of sets without one: nobody
// can say what was there.
func (r *Recovery) lookAtSets(d *drive.Deployment) {
	r.others = make(map[string]int)
	for p, pool := range d.Pools {
		for s, set := range pool.Sets {
			var given []string
			for _, drive := range set.Drives {
				if drive.Root != "" {
					given = append(given, drive.Root)
				}
			}
			for _, root := range given {
				r.others[root] = len(given) - 1
			}
			if len(given) == 0 {
				l := &Line{SSE: method(sse.None)}
				l.fail(drive.KindDamaged, fmt.Errorf("%w: no drive of erasure set %d of pool %d was given: what it held is unknown", drive.ErrDamaged, s+1, p+1))
				r.write(l)
			}
		}
	}
}

func (r *Recovery) run(ctx context.Context, d *drive.Deployment) error {
	jobs := r.o.Jobs
	if jobs <= 0 {
		jobs = 4 * runtime.GOMAXPROCS(0)
	}
	var working sync.WaitGroup
	defer working.Wait()
	b := newBudget(memory, jobs)
	start := func(n int64, work func()) error {
		if err := b.take(ctx, n); err != nil {
			return err
		}
		working.Go(func() {
			defer b.give(n)
			work()
		})
		return nil
	}

	uploads, err := r.uploads(ctx, d)
	if err != nil {
		return err
	}
	// Whether an object is nested shows at the next one: the walk goes to what is
	// below a name right after it.
	var before *drive.Object
	begin := func(next *drive.Object) error {
		o := before
		before = next
		if o == nil {
			return nil
		}
		nested := next != nil && next.Bucket == o.Bucket && strings.HasPrefix(next.Name, fileName(o.Name)+"/")
		n := int64(0)
		for _, v := range o.Versions {
			n = max(n, cost(v, r.verified))
		}
		n = min(n+versionCost*int64(len(o.Versions)+len(o.Unsettled)), memory)
		return start(n, func() { r.object(ctx, o, nested) })
	}
	err = d.Walk(ctx, r.o.walk(), func(o *drive.Object) error {
		uploads.add(o.Bucket, o.Name)
		return begin(o)
	})
	if err == nil {
		err = begin(nil)
	}
	if err == nil && r.o.Uploads {
		err = r.recoverUploads(ctx, d, uploads, start)
	}
	return err
}

// object recovers the versions of one object, oldest first: so they keep their order
// where the Sink has versions.
func (r *Recovery) object(ctx context.Context, o *drive.Object, nested bool) {
	latest := o.Latest()
	for _, v := range o.Unsettled {
		if v.Type == drive.FreeVersion {
			continue
		}
		if r.o.AllVersions || latest == nil || v.ModTime.After(latest.ModTime) {
			it := newItem(v)
			it.IsLatest, it.place = false, unsettledID(v.ID, v.ModTime)
			r.version(ctx, v, it, true, nil)
		}
	}
	found := o.Findings
	for i := len(o.Versions) - 1; i >= 0; i-- {
		v := o.Versions[i]
		if v.Type == drive.FreeVersion || !r.o.AllVersions && v != latest {
			continue
		}
		it := newItem(v)
		it.Nested = nested
		r.version(ctx, v, it, false, found)
		found = nil // once is enough
	}
	if len(o.Versions)+len(o.Unsettled) == 0 && len(o.Findings) > 0 {
		l := &Line{Bucket: o.Bucket, Object: o.Name, SSE: method(sse.None)}
		l.addFindings(o.Findings)
		l.fail(drive.KindDamaged, fmt.Errorf("%w: no copy of its metadata can be used", drive.ErrDamaged))
		if ctx.Err() == nil {
			r.write(l)
		}
	}
}

// write adds a line to the report and counts it.
func (r *Recovery) write(l *Line) {
	if err := r.o.Report.Write(l); err != nil {
		r.stop(fmt.Errorf("failed to write the report: %w", err))
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sum.Findings += int64(len(l.Findings) + l.MoreFindings)
	if l.Object == "" && l.VersionID == "" && l.Status == Skipped {
		return // a finding, no version
	}
	r.versions.Add(1)
	switch l.Status {
	case OK:
		r.sum.OK++
		r.sum.Bytes += l.Size
		if l.DeleteMarker {
			r.sum.DeleteMarkers++
		}
	case Skipped:
		r.sum.Skipped++
		if l.Kind == KindDryRun {
			r.sum.Planned++
		}
	default:
		r.sum.Failed++
		if r.o.Failed != nil {
			r.o.Failed(l)
		}
	}
}

// maxKeys bounds what a Summary has: hostile metadata names any number of keys.
const maxKeys = 10000

// use counts what a version needs, and whether that opened it.
func (r *Recovery) use(d sse.Description, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	name := keyName{d.Method, d.KMSKeyID}
	if d.Method == sse.None {
		name.id = ""
	}
	u := r.keys[name]
	if u == nil {
		if len(r.keys) >= maxKeys {
			return
		}
		u = &KeyUse{Method: name.method, KMSKeyID: name.id}
		r.keys[name] = u
	}
	u.Versions++
	u.Bytes += d.Size
	if err != nil && slices.Contains(keyKinds, KindOf(err)) {
		u.Missing++
		if u.Err == nil {
			u.Err = err
		}
	}
}
