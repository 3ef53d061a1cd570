package drive

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// A copyOf is what one drive has for an object.
type copyOf struct {
	drive *mount // nil if the slot is empty
	file  string // xl.meta or what stands in for it; empty if there is none
	meta  *xlMeta
	err   error // why meta cannot be used

	replaced error // why the file that should be is not the one that is used
}

// readable reports whether the copy, or that there is none, is a statement.
func (c *copyOf) readable() bool { return c.drive != nil && c.err == nil }

// group is a version as some drives have it, all the same.
type group struct {
	entry
	rec    *record
	broken error // why rec cannot be used
	slots  []int // with exactly this version
	index  []int // what these say their shard is

	support  int // drives that hold it, or its data without an xl.meta that could say so
	possible int // those, and the ones that could not be asked
}

// needed is how many drives must hold it for it to be taken for written.
func (g *group) needed(readable int) int {
	if g.rec != nil && g.rec.data > 0 {
		return g.rec.data
	}
	return readable/2 + 1
}

// gather sorts the versions of all copies of a set into groups. Each version is
// read in full once.
func gather(copies []copyOf) []*group {
	type key struct {
		id      [16]byte
		kind    VersionType
		modTime int64
		print   uint64
	}
	byKey := make(map[key]*group)
	var groups []*group
	for slot := range copies {
		c := &copies[slot]
		if c.meta == nil {
			continue
		}
		for i := range c.meta.entries {
			e := &c.meta.entries[i]
			k := key{e.id, e.kind, e.modTime, e.print}
			g := byKey[k]
			if g == nil {
				g = &group{entry: *e}
				g.rec, g.broken = e.record()
				byKey[k] = g
				groups = append(groups, g)
			}
			if n := len(g.slots); n > 0 && g.slots[n-1] == slot {
				continue // a drive that has it twice
			}
			g.slots = append(g.slots, slot)
			g.index = append(g.index, e.index)
		}
	}
	return groups
}

// settle decides what the drives agree on (see the package's rules).
func (s *set) settle(bucket, dir, object string, copies []copyOf) (versions, unsettled []*Version) {
	groups := gather(copies)
	readable := 0
	for i := range copies {
		if copies[i].readable() {
			readable++
		}
	}
	for _, g := range groups {
		g.support = len(g.slots)
		g.possible = g.support
		for i := range copies {
			c := &copies[i]
			if c.drive == nil || c.err != nil {
				g.possible++
			}
			// An xl.meta that was lost, or is damaged, takes nothing back from the data beside it.
			if c.drive != nil && c.meta == nil && g.rec != nil && g.support < g.needed(readable) &&
				g.rec.dataDir != "" && c.drive.hasDir(join(bucket, dir, g.rec.dataDir)) {
				g.support++
			}
		}
	}
	// The best of each id: the newest that is written for certain, or else the newest
	// that may have been.
	best := make(map[[16]byte]*group)
	rank := func(g *group) int {
		switch n := g.needed(readable); {
		case g.support >= n:
			return 2
		case g.possible >= n && g.rec != nil && g.rec.data > 0:
			return 1
		default:
			return 0
		}
	}
	for _, g := range groups {
		b := best[g.id]
		if b == nil || cmp.Or(cmp.Compare(rank(g), rank(b)), cmp.Compare(g.modTime, b.modTime), cmp.Compare(g.support, b.support)) > 0 {
			best[g.id] = g
		}
	}
	for _, g := range groups {
		v := s.version(bucket, dir, object, g, copies)
		switch b := best[g.id]; {
		case b == g && rank(g) > 0:
			versions = append(versions, v)
			continue
		case b != g && b.modTime > g.modTime:
			v.note(MetadataStale, fmt.Sprintf("%d drives have this older state of the version", len(g.slots)))
		default:
			v.note(WriteUnfinished, fmt.Sprintf("%d drives have this version, it takes %d", len(g.slots), g.needed(readable)))
		}
		v.unsettled = true
		unsettled = append(unsettled, v)
	}
	for _, v := range versions {
		s.compare(v, copies)
	}
	return versions, unsettled
}

// compare notes which drives lack a version that they should have.
func (s *set) compare(v *Version, copies []copyOf) {
	for slot := range copies {
		if c := &copies[slot]; c.drive != nil && c.meta != nil && !slices.Contains(v.slots, slot) {
			v.Findings = append(v.Findings, Finding{Problem: MetadataStale, Drive: c.drive.path, Path: join(v.Bucket, v.dir, c.file),
				Bucket: v.Bucket, Object: v.Object, Version: v.ID, Block: -1, Detail: "it lacks this version, or has it in another state"})
		}
	}
}

func (v *Version) note(p Problem, detail string) {
	v.Findings = append(v.Findings, Finding{Problem: p, Bucket: v.Bucket, Object: v.Object, Version: v.ID, Block: -1, Detail: detail})
}

// version makes a Version of a group.
func (s *set) version(bucket, dir, object string, g *group, copies []copyOf) *Version {
	v := &Version{Bucket: bucket, Object: object, ID: versionID(g.id), Type: g.kind, ModTime: time.Unix(0, g.modTime).UTC(),
		Pool: s.pool, Set: s.index, Copies: len(g.slots), slots: g.slots, dir: dir, set: s, signature: g.signature, broken: g.broken}
	if g.rec == nil {
		return v
	}
	v.Metadata, v.Parts, v.Size = g.rec.metadata, g.rec.parts, g.rec.size
	if v.Metadata == nil {
		v.Metadata = make(map[string]string)
	}
	v.DataShards, v.ParityShards, v.BlockSize, v.dataDir = g.rec.data, g.rec.parity, g.rec.block, g.rec.dataDir
	if purge, _ := v.Meta(metaPurgeStatus); purge != "" {
		v.PurgePending = true
	}
	if status, _ := v.Meta(metaTransitionStatus); status == "complete" {
		v.Tier = new(Tier)
		v.Tier.Name, _ = v.Meta(metaTransitionTier)
		v.Tier.Object, _ = v.Meta(metaTransitionObject)
		v.Tier.Version, _ = v.Meta(metaTransitionVersion)
		restore, _ := v.Meta(metaRestore)
		v.Tier.Restored = restored(restore)
	}
	if v.broken == nil && v.DataShards > 0 {
		v.broken = v.place(g, copies)
	}
	return v
}

// place finds out which shard lies on which drive (drive spec section 5).
//
// The slot of the drive tells. The index in xl.meta tells the same, but for two cases: a
// server that rewrote nothing but metadata wrote slot + 1 on all drives, which
// means nothing; and where one drive alone contradicts its slot, it may be right, so
// that its shard is used last, and by that index.
func (v *Version) place(g *group, copies []copyOf) error {
	n := g.rec.data + g.rec.parity
	if n != len(copies) {
		return fmt.Errorf("%w: %d shards in a set of %d drives", ErrDamaged, n, len(copies))
	}
	numbers := slices.Clone(g.rec.dist)
	dubious := make([]bool, n)
	agreed, rewritten := 0, true
	for i, slot := range g.slots {
		if g.index[i] == numbers[slot] {
			agreed++
		}
		rewritten = rewritten && g.index[i] == slot+1
	}
	if !rewritten && agreed < len(g.slots) {
		for i, slot := range g.slots {
			if g.index[i] == numbers[slot] {
				continue
			}
			dubious[slot] = true
			v.Findings = append(v.Findings, Finding{Problem: IndexWrong, Drive: copies[slot].drive.path, Path: join(v.Bucket, v.dir, copies[slot].file),
				Bucket: v.Bucket, Object: v.Object, Version: v.ID, Block: -1,
				Detail: fmt.Sprintf("it says shard %d, its slot says shard %d", g.index[i], numbers[slot])})
			if agreed > len(g.slots)-agreed && g.index[i] >= 1 && g.index[i] <= n && !taken(g, numbers, g.index[i]) {
				numbers[slot] = g.index[i]
			}
		}
	}
	for slot := range copies {
		c := &copies[slot]
		if c.drive == nil {
			continue
		}
		sh := source{drive: c.drive, number: numbers[slot], dubious: dubious[slot]}
		if slices.Contains(g.slots, slot) {
			sh.inline(c, v)
			if g.legacy != nil {
				sh.sums = legacySums(c.meta, g)
			}
		}
		v.Inline = v.Inline || sh.held
		v.sources = append(v.sources, sh)
	}
	if v.Inline { // then on all drives: there are no files to look for
		v.sources = slices.DeleteFunc(v.sources, func(s source) bool {
			slot := slices.Index(s.drive.set.slots, s.drive)
			if !s.held && slices.Contains(g.slots, slot) {
				v.Findings = append(v.Findings, Finding{Problem: ShardMissing, Drive: s.drive.path, Path: join(v.Bucket, v.dir, copies[slot].file),
					Bucket: v.Bucket, Object: v.Object, Version: v.ID, Part: v.Parts[0].Number, Block: -1, Detail: "it has the version, but not its inline data"})
			}
			return !s.held
		})
	}
	// Data shards first, dubious ones last.
	slices.SortStableFunc(v.sources, func(a, b source) int { return cmp.Compare(a.rank(), b.rank()) })
	return nil
}

// rank is the order in which sources are read.
func (s *source) rank() int {
	if s.dubious {
		return s.number + maxShards
	}
	return s.number
}

// taken reports whether a drive that agrees with its slot has that shard.
func taken(g *group, numbers []int, number int) bool {
	for i, slot := range g.slots {
		if numbers[slot] == number && g.index[i] == number {
			return true
		}
	}
	return false
}

// legacySums are the hashes of this drive's shards of a legacy version.
func legacySums(x *xlMeta, g *group) map[int]wholeSum {
	for i := range x.entries {
		if e := &x.entries[i]; e.legacy != nil && e.print == g.print {
			return e.legacy.sums
		}
	}
	return nil
}

// merge joins the versions that several sets have of one object, newest first, and
// marks the latest.
func (o *Object) merge() {
	slices.SortStableFunc(o.Versions, newestFirst)
	slices.SortStableFunc(o.Unsettled, newestFirst)
	// One version in two pools: a server was moving it from one to the other.
	seen := make(map[string]bool)
	o.Versions = slices.DeleteFunc(o.Versions, func(v *Version) bool {
		twice := seen[v.ID]
		seen[v.ID] = true
		return twice
	})
	for _, v := range o.Versions {
		if v.Type != FreeVersion && !v.PurgePending {
			v.IsLatest = true
			break
		}
	}
}

// newestFirst is the order of servers (drive spec section 5.1).
func newestFirst(a, b *Version) int {
	return cmp.Or(b.ModTime.Compare(a.ModTime), cmp.Compare(a.Type, b.Type), slices.Compare(b.signature[:], a.signature[:]), cmp.Compare(b.ID, a.ID))
}

// Entries of metadata, looked up without regard to case.
const (
	metaFreeMarker        = "x-minio-internal-tier-free-marker"
	metaPurgeStatus       = "x-minio-internal-purgestatus"
	metaTransitionStatus  = "x-minio-internal-transition-status"
	metaTransitionTier    = "x-minio-internal-transition-tier"
	metaTransitionObject  = "x-minio-internal-transitioned-object"
	metaTransitionVersion = "x-minio-internal-transitioned-versionid"
	metaRestore           = "x-amz-restore"
	metaETag              = "etag"
)
