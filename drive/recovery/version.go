package recovery

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"runtime"
	"sync/atomic"

	"github.com/objseal/objseal/drive"
	"github.com/objseal/objseal/sse"
)

// spoolMax is how much content of one version is held in memory for a VerifiedSink;
// what is larger is read twice.
const spoolMax = 1 << 20

// version makes one line of one version.
func (r *Recovery) version(ctx context.Context, v *drive.Version, it *Item, unsettled bool, found []drive.Finding) {
	if ctx.Err() != nil {
		return
	}
	if r.o.Report.Done(it.Bucket, it.Object, cmp.Or(it.place, it.VersionID)) {
		r.mu.Lock()
		r.sum.Earlier++
		r.mu.Unlock()
		r.versions.Add(1)
		return
	}
	l := newLine(it, v)
	l.Unsettled = unsettled
	l.addFindings(found)
	switch {
	case it.DeleteMarker && !unsettled:
		r.marker(ctx, it, l)
	case unsettled && (!r.o.Unsettled || it.DeleteMarker): // a marker has nothing to recover
		l.skip(drive.KindUnsettled, drive.ErrUnsettled.Error())
	case v.PurgePending && !r.o.Deleted:
		l.skip(drive.KindDeleted, "the server had begun to delete it")
	default:
		r.content(ctx, v, it, l)
	}
	// What ended the run is no failure of the version: the next run takes it.
	if l.Status == OK || ctx.Err() == nil {
		r.write(l)
	}
}

// marker tells of a delete marker, and stores it where there are such.
func (r *Recovery) marker(ctx context.Context, it *Item, l *Line) {
	l.Status = OK
	if r.o.DryRun {
		l.skip(KindDryRun, "")
		return
	}
	path, err := r.sink.Delete(ctx, it)
	l.Path = path
	r.stored(ctx, l, err)
}

// content recovers the content of a version.
func (r *Recovery) content(ctx context.Context, v *drive.Version, it *Item, l *Line) {
	d, err := v.Describe()
	if err == nil {
		l.describe(d, len(v.Parts))
	} else {
		l.Size = v.Size
	}
	if !d.Multipart {
		it.Parts = nil
	}
	if err != nil {
		l.fail(KindOf(err), err)
		return
	}
	if it.nameHash != "" && d.Method != sse.None {
		l.fail(drive.KindNotFound, errUnnamed)
		return
	}
	open := &drive.OpenOptions{InClear: true, Deleted: r.o.Deleted, Unsettled: r.o.Unsettled, Workers: runtime.GOMAXPROCS(0)}
	if d.Method == sse.C {
		open.CustomerKey, _ = r.o.CustomerKeys.Find(it.Bucket, it.Object, it.VersionID)
	}
	if r.o.DryRun {
		r.try(ctx, v, d, open, l)
		return
	}
	c, err := v.Open(ctx, r.o.Client, open)
	if ctx.Err() != nil {
		return
	}
	r.use(d, err)
	if err != nil {
		l.fail(KindOf(err), err)
		return
	}
	defer c.Wipe()
	if l.InClear = c.InClear; c.InClear {
		l.Warning = drive.ErrInClear.Error()
	}
	it.Size, it.Method, it.KMSKeyID = c.Size, c.Method, c.KMSKeyID
	// A damaged ETag or checksum fails the reading where it proves the content;
	// where it does not, it is worth a warning.
	if it.ETag, err = c.ETag(); err != nil {
		l.Warning = err.Error()
	}
	l.ETag = it.ETag
	if it.Checksums, err = c.Checksums(); err != nil {
		l.Warning = err.Error()
	}
	for _, sum := range it.Checksums {
		l.Checksums = append(l.Checksums, text(sum))
	}
	r.copy(ctx, c, it, l)
}

// copy takes the content to the Sink.
func (r *Recovery) copy(ctx context.Context, c *drive.Content, it *Item, l *Line) {
	src, err := c.NewReader(ctx, sse.Whole)
	if err != nil {
		l.fail(KindOf(err), err)
		return
	}
	defer func() { src.Close() }()
	sum := r.hashed(src)
	body := NewBody(sum, src.Size())
	if r.verified {
		var held []byte
		if held, err = verify(body); err == nil {
			it.SHA256 = sum.sum()
			if held == nil {
				first := src
				if src, err = c.NewReader(ctx, sse.Whole); err != nil {
					src = first
				} else {
					first.Close()
					body = NewBody(src, src.Size())
				}
			} else {
				body = NewBody(bytes.NewReader(held), int64(len(held)))
			}
		}
		if err != nil {
			l.addFindings(src.Findings())
			l.fail(KindOf(err), err)
			return
		}
	}
	path, err := r.sink.Put(ctx, it, body)
	l.addFindings(src.Findings())
	switch {
	case err == nil && body.err != io.EOF:
		err = fmt.Errorf("it took %d of %d bytes", body.n, body.size)
	case err != nil && body.err != nil && body.err != io.EOF && !errors.Is(err, ErrStop):
		l.fail(KindOf(body.err), body.err)
		return
	}
	i := src.Integrity()
	l.Size, l.SHA256, l.Integrity, l.Evidence, l.Path = body.size, sum.sum(), string(i.Level), i.Evidence, path
	if i.Warning != "" {
		l.Warning = i.Warning
	}
	r.stored(ctx, l, err)
}

// stored makes the line one of what the Sink answered.
func (r *Recovery) stored(ctx context.Context, l *Line, err error) {
	if err == nil {
		l.Status = OK
		return
	}
	l.SHA256, l.Integrity, l.Evidence, l.Path = "", "", "", ""
	switch {
	case errors.Is(err, ErrStop):
		l.fail(KindOutput, err)
		if ctx.Err() == nil {
			r.write(l) // the one that met it has a line, those in its wake have none
		}
		r.stop(err)
	case errors.Is(err, ErrNotTaken):
		l.skip(KindOutput, err.Error())
	default:
		l.fail(KindOutput, err)
	}
}

// verify reads the body to its end; it returns the content if that is small.
func verify(body *Body) (held []byte, err error) {
	if body.Size() > spoolMax {
		_, err := body.WriteTo(io.Discard)
		return nil, err
	}
	b := bytes.NewBuffer(make([]byte, 0, body.Size()))
	_, err = body.WriteTo(b)
	return b.Bytes(), err
}

// KindOf sorts what kept a version from being opened or read. A customer key that nobody
// gave is a key that is not there.
func KindOf(err error) sse.Kind {
	if errors.Is(err, sse.ErrCustomerKeyRequired) {
		return sse.KindKeyNotFound
	}
	return drive.KindOf(err)
}

// hashed is src with its SHA-256, and counts the bytes for Progress.
func (r *Recovery) hashed(src *drive.Reader) *hashed {
	return &hashed{src: src, hash: sha256.New(), count: &r.bytes}
}

type hashed struct {
	src interface {
		io.Reader
		io.WriterTo
	}
	hash  hash.Hash
	count *atomic.Int64
}

func (h *hashed) sum() string { return hex.EncodeToString(h.hash.Sum(nil)) }

func (h *hashed) Read(p []byte) (int, error) {
	n, err := h.src.Read(p)
	h.hash.Write(p[:n])
	h.count.Add(int64(n))
	return n, err
}

func (h *hashed) WriteTo(w io.Writer) (int64, error) {
	return h.src.WriteTo(&hashedWriter{h, w})
}

type hashedWriter struct {
	*hashed
	w io.Writer
}

// Write hashes beside writing where that is worth a goroutine.
func (h *hashedWriter) Write(p []byte) (n int, err error) {
	if len(p) < 64<<10 {
		h.hash.Write(p)
		n, err = h.w.Write(p)
	} else {
		done := make(chan struct{})
		go func() {
			defer close(done)
			h.hash.Write(p)
		}()
		n, err = h.w.Write(p)
		<-done
	}
	h.count.Add(int64(n))
	return n, err
}

// try opens the key of a version, if none under the same key was opened before,
// and reads nothing.
func (r *Recovery) try(ctx context.Context, v *drive.Version, d sse.Description, open *drive.OpenOptions, l *Line) {
	err := r.known(v, d)
	if err == nil && (d.Method == sse.None || d.Method == sse.C || !r.opened(d)) {
		var c *drive.Content
		if c, err = v.Open(ctx, r.o.Client, open); err == nil {
			l.InClear = c.InClear
			c.Wipe()
		}
	}
	if ctx.Err() != nil {
		return
	}
	r.use(d, err)
	if err != nil {
		l.fail(KindOf(err), err)
		return
	}
	l.skip(KindDryRun, "")
}

// known is the error that a version will have for certain.
func (r *Recovery) known(v *drive.Version, d sse.Description) error {
	if v.Tier != nil && !v.Tier.Restored {
		return drive.ErrTiered
	}
	if d.Method != sse.S3 && d.Method != sse.KMS {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	u := r.keys[keyName{d.Method, d.KMSKeyID}]
	if u != nil && u.Err != nil && KindOf(u.Err) != sse.KindNotAuthentic {
		return u.Err // the key server would say the same again
	}
	return nil
}

// opened reports whether a version under that key was opened before.
func (r *Recovery) opened(d sse.Description) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	u := r.keys[keyName{d.Method, d.KMSKeyID}]
	return u != nil && u.Missing < u.Versions
}

// keyKinds are the failures that another key, or a key server that answers, would mend.
var keyKinds = []sse.Kind{sse.KindKeyNotFound, sse.KindNotAuthentic, sse.KindKMSUnreachable, sse.KindNotPermitted, sse.KindNotConfigured}
