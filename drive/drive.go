// Package drive reads MinIO's drives offline: what a server left on them, without
// the server.
//
//	drives ──► format.json: pools, sets, slots ──► a walk over all drives at once
//	object ──► xl.meta of each drive ──► what they agree on: versions, parts, metadata
//	part   ──► shards of each block ──► bitrot hashes ──► any M good ones ──► stored bytes
//	       ──► sse: data key, object key, packages ──► decompression ──► plaintext
//
// Start with [Open], which takes one directory per drive, in any order; then
// [Deployment.Walk] or [Deployment.Lookup], and [Version.Open].
//
// # What is used, and what is not
//
// A version is used if a copy of xl.meta with a right checksum proves it, and a
// block of it if any M of its M+N shards have the right hash, whichever drives
// these are on, another M for each block. Bytes are never made up: a block with
// fewer good shards is an error of kind [KindDamaged].
//
// Where copies contradict each other, a version that at least M drives hold (its data, where a
// drive has lost its xl.meta), or
// could hold if those that are missing or damaged are counted in, is one of
// [Object.Versions]; a newer one below that is the trace of a write that failed,
// an older one that of a drive that slept. Both stand in [Object.Unsettled] and
// are never used silently. A delete marker on any drive is told; it hides what is
// below it if more than half of the drives that could be read have it.
//
// # What is never done
//
// Nothing is written. Drives are opened through [os.Root] and only read; symbolic
// links are not followed, and are told. Memory is bounded whatever metadata
// claims: a reader holds two batches of 4 MiB of stored bytes, or of one block
// where that is larger (blocks of old servers have 10 MiB), a walk the names of
// directory entries up to 16 MiB per level, and copies of xl.meta, without inline data if
// they are larger than 192 KiB: 128 of them, or fewer, where they take more than 16 MiB.
//
// Bitrot hashes are no proof against somebody who can write to the drives; the
// packages of encrypted objects are (see package sse).
package drive

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"sync"

	"github.com/klauspost/reedsolomon"
)

// Options are the settings of Open; nil is the zero value.
type Options struct {
	// CheckAll reads every shard of every block, those too that are not needed,
	// so that each bad one is found. Reads cost (M+N)/M as much.
	CheckAll bool
	// Report is told what walks and reads meet and get around, at once: bad shards,
	// links, directories that cannot be listed. What is wrong with an object's
	// metadata is in the Object. It is called by one goroutine at a time.
	Report func(Finding)
}

// SystemBucket is the pseudo bucket of the server's own objects: configuration,
// IAM, bucket metadata.
const SystemBucket = ".minio.sys"

// A Deployment is the drives of one MinIO deployment. It is safe for
// concurrent use.
type Deployment struct {
	// ID is the deployment id, empty if no drive had a format.json.
	ID string
	// Pools in the order of their first drive ids.
	Pools []Pool

	options  Options
	sets     []*set
	mounts   []*mount
	findings []Finding

	reporting sync.Mutex

	mu    sync.Mutex
	codes map[[2]int]reedsolomon.Encoder

	window int // bytes of names that a walk holds per level, 0 for maxWindow
}

// A Pool is a group of erasure sets that was added at one time.
type Pool struct{ Sets []Set }

// A Set is the drives over which the shards of an object are spread.
type Set struct {
	// Drives by slot; the root of a drive is empty if it is missing.
	Drives []Drive
}

// A Drive is one slot of a set.
type Drive struct {
	ID   string // uuid in format.json, empty if no drive tells
	Root string // directory given to Open, empty if no drive given is this one
}

// set is a Set with its drives opened; nil for slots without one.
type set struct {
	d           *Deployment
	pool, index int
	slots       []*mount
}

// Open opens the drives of a deployment, each at its root directory, in any
// order. Which drive is which is read from their format.json. A drive without
// one gets the slot that its objects say it had.
//
// Drives that do not belong to the deployment of most are left out and told in
// Findings, so are those that cannot be read, and those that are missing.
//
// Errors: ErrForeign if no deployment has more drives than another, ErrDuplicate if
// a drive was given twice, ErrUnsupported if all are of a format that is refused
// (such as MinIO's "fs"), ErrNoDrive if none is a drive of MinIO's.
func Open(ctx context.Context, roots []string, o *Options) (*Deployment, error) {
	d := &Deployment{codes: make(map[[2]int]reedsolomon.Encoder)}
	if o != nil {
		d.options = *o
	}
	if err := d.open(ctx, roots); err != nil {
		d.Close()
		return nil, fmt.Errorf("failed to open drives: %w", err)
	}
	return d, nil
}

// candidate is a drive that has a format.json.
type candidate struct {
	*mount
	*format
}

func (d *Deployment) open(ctx context.Context, roots []string) error {
	var known []candidate
	var unknown []*mount // without a format.json
	var infos []fs.FileInfo
	var refused error
	for _, path := range roots {
		if err := ctx.Err(); err != nil {
			return err
		}
		m := &mount{path: path}
		refuse := func(err error) {
			d.findings = append(d.findings, refusal(m, err))
			refused = cmp.Or(refused, err)
		}
		var err error
		if m.root, err = os.OpenRoot(path); err != nil {
			refuse(err)
			continue
		}
		d.mounts = append(d.mounts, m)
		info, err := m.root.Stat(".")
		if err != nil {
			refuse(err)
			continue
		}
		if i := slices.IndexFunc(infos, func(other fs.FileInfo) bool { return os.SameFile(info, other) }); i >= 0 {
			return fmt.Errorf("%w: %q", ErrDuplicate, path)
		}
		infos = append(infos, info)
		f, err := readFormat(m)
		switch {
		case err == nil:
			known = append(known, candidate{m, f})
		case errors.Is(err, ErrUnsupported):
			refuse(err)
		case isDrive(m):
			unknown = append(unknown, m)
		default:
			refuse(fmt.Errorf("%w: %w", ErrNoDrive, err))
		}
	}
	known, err := d.majority(known)
	if err != nil {
		return err
	}
	if err := d.group(known); err != nil {
		return err
	}
	if len(unknown) > 0 {
		if err := d.adopt(ctx, unknown); err != nil {
			return err
		}
	}
	if len(d.sets) == 0 {
		return cmp.Or(refused, ErrNoDrive)
	}
	d.describe()
	return nil
}

// majority leaves out the drives of other deployments than that of most.
func (d *Deployment) majority(all []candidate) ([]candidate, error) {
	// Format version 1 has drives without a deployment id: their sets tell.
	count := make(map[string]int)
	name := func(c candidate) string {
		if c.deployment != "" {
			return c.deployment
		}
		return strings.Join(slices.Concat(c.format.sets...), " ")
	}
	for _, c := range all {
		count[name(c)]++
	}
	var most string
	tie := false
	for id, n := range count {
		switch {
		case n > count[most]:
			most, tie = id, false
		case n == count[most]:
			tie = true
		}
	}
	if tie {
		return nil, fmt.Errorf("%w, with as many drives each", ErrForeign)
	}
	var kept []candidate
	for _, c := range all {
		if name(c) == most {
			d.ID = c.deployment
			kept = append(kept, c)
			continue
		}
		d.findings = append(d.findings, Finding{Problem: DriveForeign, Drive: c.path, Path: formatFile, Block: -1,
			Detail: fmt.Sprintf("it is of deployment %q, most are of %q", cut(c.deployment), cut(most))})
	}
	return kept, nil
}

// group makes pools and sets of the drives, and places each in its slot.
func (d *Deployment) group(all []candidate) error {
	var pools [][][]string
	member := make([]int, len(all))
	for i, c := range all {
		member[i] = slices.IndexFunc(pools, func(p [][]string) bool { return samePool(p, c.format.sets) })
		if member[i] < 0 {
			member[i] = len(pools)
			pools = append(pools, c.format.sets)
		}
	}
	order := make([]int, len(pools))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return cmp.Compare(pools[a][0][0], pools[b][0][0]) })
	for rank, p := range order {
		var sets []*set
		pool := Pool{}
		for i, ids := range pools[p] {
			sets = append(sets, &set{d: d, pool: rank, index: i, slots: make([]*mount, len(ids))})
			drives := make([]Drive, len(ids))
			for slot, id := range ids {
				drives[slot].ID = id
			}
			pool.Sets = append(pool.Sets, Set{drives})
		}
		for i, c := range all {
			if member[i] != p {
				continue
			}
			for j, ids := range pools[p] {
				if slot := slices.Index(ids, c.this); slot >= 0 {
					if other := sets[j].slots[slot]; other != nil {
						return fmt.Errorf("%w: %q and %q", ErrDuplicate, other.path, c.path)
					}
					sets[j].place(slot, c.mount)
				}
			}
		}
		d.Pools = append(d.Pools, pool)
		d.sets = append(d.sets, sets...)
	}
	return nil
}

func (s *set) place(slot int, m *mount) {
	s.slots[slot] = m
	m.set = s
}

// describe fills in the roots of Pools, and finds what is missing.
func (d *Deployment) describe() {
	for _, s := range d.sets {
		drives := d.Pools[s.pool].Sets[s.index].Drives
		for slot, m := range s.slots {
			if m != nil {
				drives[slot].Root = m.path
				continue
			}
			d.findings = append(d.findings, Finding{Problem: DriveMissing, Block: -1,
				Detail: fmt.Sprintf("pool %d, set %d, slot %d: drive %s", s.pool+1, s.index+1, slot+1, cut(drives[slot].ID))})
		}
	}
}

// Close closes the drives.
func (d *Deployment) Close() error {
	var errs []error
	for _, m := range d.mounts {
		errs = append(errs, m.root.Close())
	}
	return errors.Join(errs...)
}

// Findings are those of Open.
func (d *Deployment) Findings() []Finding { return slices.Clone(d.findings) }

func (d *Deployment) report(f Finding) {
	if d.options.Report == nil {
		return
	}
	d.reporting.Lock()
	defer d.reporting.Unlock()
	d.options.Report(f)
}

// placed are the drives that have a slot.
func (d *Deployment) placed() (all []*mount) {
	for _, s := range d.sets {
		for _, m := range s.slots {
			if m != nil {
				all = append(all, m)
			}
		}
	}
	return all
}
