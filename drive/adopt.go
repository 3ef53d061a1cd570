package drive

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
)

// maxSamples is from how many versions the slot of a drive is found out.
const maxSamples = 64

// sample is a version on a drive without a format.json.
type sample struct {
	path  string // of its directory
	id    [16]byte
	dist  []int
	index int
}

// adopt finds the slots of drives that have no good format.json. In
// the distribution of a version, the place of the shard that the drive has is its slot;
// where metadata was rewritten (see place), the shard itself is said to be the slot.
// Over some objects only the right slot gets a vote of each.
func (d *Deployment) adopt(ctx context.Context, unknown []*mount) error {
	samples := make([][]sample, len(unknown))
	for i, m := range unknown {
		if err := m.sample(ctx, SystemBucket+"/buckets", &samples[i]); err != nil {
			return err
		}
		for _, top := range m.directories() {
			if err := m.sample(ctx, top, &samples[i]); err != nil {
				return err
			}
		}
	}
	if len(d.sets) == 0 {
		d.imagine(unknown, samples)
	}
	for i, m := range unknown {
		if m.set == nil && !d.takeIn(m, samples[i]) {
			d.findings = append(d.findings, Finding{Problem: DriveRefused, Drive: m.path, Path: formatFile, Block: -1,
				Detail: "it has no good format.json, and its objects do not tell which drive it is"})
		}
	}
	return nil
}

// takeIn places a drive in a set that has its objects.
func (d *Deployment) takeIn(m *mount, samples []sample) bool {
	var best *set
	most := 0
	for _, s := range d.sets {
		n := 0
		for i := range samples {
			if len(samples[i].dist) == len(s.slots) && s.has(&samples[i]) {
				n++
			}
		}
		if n > most {
			best, most = s, n
		}
	}
	if best == nil {
		return false
	}
	slot := slotOf(samples, len(best.slots))
	if slot < 0 || best.slots[slot] != nil {
		return false
	}
	best.place(slot, m)
	d.findings = append(d.findings, Finding{Problem: DriveAdopted, Drive: m.path, Path: formatFile, Block: -1,
		Detail: fmt.Sprintf("it has no good format.json; its objects say that it is pool %d, set %d, slot %d", best.pool+1, best.index+1, slot+1)})
	return true
}

// has reports whether any drive of the set has the version.
func (s *set) has(x *sample) bool {
	for _, m := range s.slots {
		if m != nil && m.has(x) {
			return true
		}
	}
	return false
}

func (m *mount) has(x *sample) bool {
	at, err := m.openDir(x.path)
	if err != nil {
		return false
	}
	defer at.Close()
	meta, err := readMeta(at, xlMetaFile)
	return err == nil && slices.ContainsFunc(meta.entries, func(e entry) bool { return e.id == x.id })
}

// slotOf is the slot for which more than half of the samples vote, -1 if there is none.
func slotOf(samples []sample, slots int) int {
	votes := make([]int, slots)
	counted := 0
	for _, x := range samples {
		if len(x.dist) != slots || x.index < 1 || x.index > slots {
			continue
		}
		counted++
		usual, rewritten := slices.Index(x.dist, x.index), x.index-1
		votes[usual]++
		if rewritten != usual {
			votes[rewritten]++
		}
	}
	best := 0
	for slot := range votes {
		if votes[slot] > votes[best] {
			best = slot
		}
	}
	if votes[best]*2 <= counted || slices.ContainsFunc(slices.Delete(slices.Clone(votes), best, best+1), func(n int) bool { return n == votes[best] }) {
		return -1
	}
	return best
}

// imagine makes sets where no drive has a format.json: drives with an object in
// common are of one set.
func (d *Deployment) imagine(unknown []*mount, samples [][]sample) {
	pool := Pool{}
	for i, m := range unknown {
		if len(samples[i]) == 0 || slices.ContainsFunc(d.sets, func(s *set) bool {
			return slices.ContainsFunc(samples[i], func(x sample) bool { return len(x.dist) == len(s.slots) && s.has(&x) })
		}) {
			continue
		}
		slots := len(samples[i][0].dist)
		slot := slotOf(samples[i], slots)
		if slot < 0 {
			continue
		}
		s := &set{d: d, index: len(d.sets), slots: make([]*mount, slots)}
		s.place(slot, m)
		d.sets = append(d.sets, s)
		pool.Sets = append(pool.Sets, Set{make([]Drive, slots)})
		d.findings = append(d.findings, Finding{Problem: DriveAdopted, Drive: m.path, Path: formatFile, Block: -1,
			Detail: fmt.Sprintf("no drive has a good format.json; the objects of this one say that it is slot %d of a set of %d", slot+1, slots)})
	}
	if len(d.sets) > 0 {
		d.Pools = []Pool{pool}
	}
}

// directories are the buckets.
func (m *mount) directories() (names []string) {
	_ = list(m.root, func(e fs.DirEntry) error {
		if e.IsDir() && e.Name()[0] != '.' && len(names) < maxSamples {
			names = append(names, e.Name())
		}
		return nil
	})
	slices.Sort(names)
	return names
}

// sample collects versions below a directory, up to maxSamples.
func (m *mount) sample(ctx context.Context, path string, out *[]sample) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	at, err := m.openDir(path)
	if err != nil {
		return nil // no less a drive for it
	}
	defer at.Close()
	return m.sampleIn(ctx, at, path, out, 0)
}

func (m *mount) sampleIn(ctx context.Context, at *os.Root, path string, out *[]sample, depth int) error {
	if meta, err := readMeta(at, xlMetaFile); err == nil {
		for i := range meta.entries {
			if e := &meta.entries[i]; e.kind == ObjectVersion {
				if r, err := e.record(); err == nil {
					*out = append(*out, sample{path, e.id, r.dist, e.index})
				}
				break
			}
		}
	}
	const deepest = 16
	enough := errors.New("enough")
	err := list(at, func(e fs.DirEntry) error {
		if len(*out) >= maxSamples {
			return enough
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if !e.IsDir() || isUUID(e.Name()) || depth == deepest {
			return nil
		}
		sub, err := openSub(at, e.Name())
		if err != nil {
			return nil
		}
		defer sub.Close()
		return m.sampleIn(ctx, sub, join(path, e.Name()), out, depth+1)
	})
	if err != nil && ctx.Err() != nil {
		return ctx.Err()
	}
	return nil
}
