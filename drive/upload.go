package drive

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/objseal/objseal/sse"
)

const (
	multipartDir = "multipart" // in SystemBucket
	maxPartMeta  = 1 << 20     // bytes of a part's record, mostly its compression index
)

// An Upload is an unfinished multipart upload. The drives do not tell its name,
// only a hash of it.
type Upload struct {
	ID        string // of S3
	NameHash  string // SHA-256 of bucket/object, in hexadecimal
	Initiated time.Time
	// Version has the parts uploaded so far, in order of their numbers, as if the
	// upload had been completed with all of them. Bucket and Object are not those of
	// the upload, but where it lies.
	Version  *Version
	Findings []Finding
}

// HasName reports whether the upload is one to that object.
func (u *Upload) HasName(bucket, object string) bool {
	sum := sha256.Sum256([]byte(bucket + "/" + storedName(object)))
	plain := sha256.Sum256([]byte(bucket + "/" + object))
	return u.NameHash == hex.EncodeToString(sum[:]) || u.NameHash == hex.EncodeToString(plain[:])
}

// Named returns the parts as a version of that object, to be opened like any other.
// With part numbers only those parts are in it. ErrNotFound if the name is not
// the upload's, or it has no such part.
func (u *Upload) Named(bucket, object string, parts ...int) (*Version, error) {
	if !u.HasName(bucket, object) {
		return nil, fmt.Errorf("upload %s is not one to %s: %w", u.ID, sse.ObjectName{Bucket: bucket, Object: object}, ErrNotFound)
	}
	v := *u.Version
	v.name = &sse.ObjectName{Bucket: bucket, Object: object}
	if len(parts) == 0 {
		return &v, nil
	}
	v.Parts, v.Size = nil, 0
	for _, n := range parts {
		i := slices.IndexFunc(u.Version.Parts, func(p sse.Part) bool { return p.Number == n })
		if i < 0 {
			return nil, fmt.Errorf("upload %s has no part %d: %w", u.ID, n, ErrNotFound)
		}
		v.Parts = append(v.Parts, u.Version.Parts[i])
		v.Size += u.Version.Parts[i].Size
	}
	slices.SortFunc(v.Parts, func(a, b sse.Part) int { return cmp.Compare(a.Number, b.Number) })
	return &v, nil
}

// Uploads calls fn for every unfinished multipart upload, in a fixed order.
func (d *Deployment) Uploads(ctx context.Context, fn func(*Upload) error) error {
	w := &walker{ctx: ctx, d: d, bucket: SystemBucket}
	top := w.open(multipartDir)
	defer func() { closeAll(top) }()
	return w.each(top, multipartDir, func(hash string) error {
		level := w.open(multipartDir + "/" + hash)
		defer closeAll(level)
		return w.each(level, multipartDir+"/"+hash, func(id string) error {
			u := w.upload(hash, id)
			if u == nil {
				return nil
			}
			return fn(u)
		})
	})
}

// open opens a directory on every drive that has it.
func (w *walker) open(dir string) (opened []handle) {
	for _, m := range w.d.placed() {
		root, err := m.openDir(join(w.bucket, dir))
		if err == nil {
			opened = append(opened, handle{m, root})
		} else if !errors.Is(err, fs.ErrNotExist) {
			w.unreadable(m, join(w.bucket, dir), err)
		}
	}
	return opened
}

// each calls fn for every directory in a directory.
func (w *walker) each(level []handle, dir string, fn func(name string) error) error {
	after := ""
	for len(level) > 0 {
		names, more := w.names(level, dir, after, func(string) bool { return true })
		for _, name := range names {
			if err := w.ctx.Err(); err != nil {
				return err
			}
			if err := fn(name); err != nil {
				return err
			}
		}
		if !more {
			break
		}
		after = names[len(names)-1]
	}
	return w.ctx.Err()
}

// upload reads an upload from the drives; nil if there is none.
func (w *walker) upload(hash, id string) *Upload {
	dir := join(multipartDir, hash, id)
	o, err := w.d.Lookup(w.ctx, SystemBucket, dir)
	if err != nil {
		return nil
	}
	text := w.d.ID + "." + id
	u := &Upload{ID: base64.RawURLEncoding.EncodeToString([]byte(text)), NameHash: hash, Findings: o.Findings}
	if _, nanos, ok := strings.Cut(id, "x"); ok {
		if n, err := strconv.ParseInt(nanos, 10, 64); err == nil {
			u.Initiated = time.Unix(0, n).UTC()
		}
	}
	all := append(slices.Clone(o.Versions), o.Unsettled...)
	if len(all) == 0 {
		u.Version = &Version{Bucket: SystemBucket, Object: dir, ID: NullVersion, Type: ObjectVersion,
			broken: fmt.Errorf("%w: no drive has a good xl.meta of the upload", ErrDamaged)}
		return u
	}
	v := all[0]
	v.unsettled, v.IsLatest = false, false
	u.Version = v
	if u.Initiated.IsZero() {
		u.Initiated = v.ModTime
	}
	if v.broken != nil {
		return u
	}
	// The map of inline data has an empty entry that means nothing: parts are files.
	for i := range v.sources {
		v.sources[i].held, v.sources[i].mem = false, nil
	}
	v.Inline, v.Parts, v.Size = false, nil, 0
	v.Parts = w.uploadedParts(v, u)
	for _, p := range v.Parts {
		v.Size += p.Size
	}
	return u
}

// uploadedParts reads the records of the parts, which are the same on all drives: the
// first good one counts.
func (w *walker) uploadedParts(v *Version, u *Upload) (parts []sse.Part) {
	seen := make(map[int]bool)
	dir := join(v.dir, v.dataDir)
	for _, h := range w.open(dir) {
		err := list(h.dir, func(e fs.DirEntry) error {
			middle, found := strings.CutPrefix(e.Name(), "part.")
			middle, meta := strings.CutSuffix(middle, ".meta")
			number, err := strconv.Atoi(middle)
			if !found || !meta || err != nil || number < 1 || number > maxParts || seen[number] {
				return nil
			}
			path := join(w.bucket, dir, e.Name())
			b, err := h.drive.readFile(path, maxPartMeta)
			if err == nil {
				in := unpacker{b: b}
				p := in.legacyPart()
				if err = in.err; err == nil && (p.Number != int64(number) || p.Size < 0 || p.Size > maxPartSize || p.ActualSize < -1) {
					err = fmt.Errorf("%w: the record of part %d", ErrDamaged, number)
				}
				if err == nil {
					seen[number] = true
					parts = append(parts, sse.Part{Number: number, Size: p.Size, ActualSize: p.ActualSize})
				}
			}
			if err != nil {
				u.Findings = append(u.Findings, Finding{Problem: metadataProblem(err), Drive: h.drive.path, Path: path, Part: number, Block: -1, Detail: err.Error()})
			}
			return w.ctx.Err()
		})
		if err != nil && w.ctx.Err() == nil {
			w.unreadable(h.drive, join(w.bucket, dir), err)
		}
		h.dir.Close()
	}
	slices.SortFunc(parts, func(a, b sse.Part) int { return cmp.Compare(a.Number, b.Number) })
	return parts
}
