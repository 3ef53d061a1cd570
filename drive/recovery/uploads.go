package recovery

import (
	"context"
	"errors"
	"strings"

	"github.com/objseal/objseal/drive"
	"github.com/objseal/objseal/sse"
)

// guesses are the names of unfinished uploads, of which the drives only have the hash.
type guesses struct {
	names map[string]*sse.ObjectName // by hash; nil: not found yet
}

// add takes a name that may be an upload's.
func (g *guesses) add(bucket, object string) {
	if g == nil || len(g.names) == 0 {
		return
	}
	for _, name := range []string{object, fileName(object)} { // whichever the server hashed
		h := sumOf(bucket + "/" + name)
		if known, ok := g.names[h]; ok && known == nil {
			g.names[h] = &sse.ObjectName{Bucket: bucket, Object: object}
		}
	}
}

// uploads returns the names that uploads may have, as far as they are known
// before the walk; nil if uploads are not asked for. Of several shards the first has
// them all.
func (r *Recovery) uploads(ctx context.Context, d *drive.Deployment) (*guesses, error) {
	if !r.o.Uploads || r.o.Shard > 0 {
		return nil, nil
	}
	g := &guesses{names: make(map[string]*sse.ObjectName)}
	err := d.Uploads(ctx, func(u *drive.Upload) error {
		g.names[strings.ToLower(u.NameHash)] = nil
		return nil
	})
	for _, n := range r.o.UploadNames {
		g.add(n.Bucket, n.Object)
	}
	r.o.CustomerKeys.names(g.add)
	return g, err
}

// errUnnamed: the metadata of an upload is bound to a name that nobody knows.
var errUnnamed = errors.New("the drives have no name of the upload: its key can be opened only under the right one")

// recoverUploads takes what clients uploaded of objects that they did not complete.
func (r *Recovery) recoverUploads(ctx context.Context, d *drive.Deployment, g *guesses, start func(int64, func()) error) error {
	if g == nil {
		return nil
	}
	if r.o.Shards > 1 && len(g.names) > 0 { // the walk has seen a share of the names
		err := d.Walk(ctx, nil, func(o *drive.Object) error {
			g.add(o.Bucket, o.Name)
			return nil
		})
		if err != nil {
			return err
		}
	}
	return d.Uploads(ctx, func(u *drive.Upload) error {
		v := u.Version
		it := newItem(v)
		it.UploadID, it.VersionID, it.IsLatest = u.ID, uploadID(u.ID), false
		it.Bucket, it.Object, it.nameHash = "", "", strings.ToLower(u.NameHash)
		if n := g.names[it.nameHash]; n != nil {
			named, err := u.Named(n.Bucket, n.Object)
			if err != nil {
				return err
			}
			v = named
			it.Bucket, it.Object, it.nameHash = n.Bucket, n.Object, ""
		}
		if r.o.Bucket != "" && (it.Bucket != r.o.Bucket || !strings.HasPrefix(it.Object, r.o.Prefix)) {
			return nil
		}
		return start(cost(v, r.verified), func() { r.version(ctx, v, it, false, u.Findings) })
	})
}
