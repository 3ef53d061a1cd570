package drive

import (
	"bytes"
	"errors"
	"slices"

	"github.com/objseal/objseal/sse"
)

// A hash says that a shard is whole, not which one it is. So where there is one
// more than it takes, the shards of the first block that is read of a part are compared with
// each other, and where they contradict each other the numbers under which most of
// them agree are looked for: that finds shards that were swapped between drives.

var (
	errMisplaced  = errors.New("it is another shard, or one of another version")
	errContradict = errors.New("the shards of the block contradict each other, and nothing tells which are right")
)

// maxArrangements bounds the search: 16 drives have 1820 choices of 12.
const maxArrangements = 4096

// prove compares the shards of a block, of which at least M were read. It returns
// false if it renumbered some, so that the block must be read anew.
func (l *loader) prove(b *batch, block int64, reads []*reading, others []*shard) (bool, error) {
	l.proved = true
	// One more than it takes, if there is one.
	extra := func() bool {
		n := 0
		for _, r := range reads {
			if r != nil {
				n++
			}
		}
		return n > l.geometry.data
	}
	use := func(s *shard) {
		r := l.readShard(s, block, 1)
		if r == nil {
			return
		}
		b.reads = append(b.reads, r)
		if r.errs[0] == nil && reads[s.number-1] == nil {
			reads[s.number-1] = r
		}
	}
	for len(others) > 0 && !extra() {
		use(others[0])
		others = others[1:]
	}
	if !extra() {
		return true, nil
	}
	var held []*reading
	for _, r := range reads {
		if r != nil {
			held = append(held, r)
		}
	}
	first := make([]int, l.geometry.data)
	for i := range first {
		first[i] = i
	}
	numbers, agree, _, err := l.agreement(block, held, first)
	if err != nil || agree == len(held) && unchanged(held, numbers) {
		return true, err
	}
	// They contradict each other: all of them are asked.
	for _, s := range others {
		if r := l.readShard(s, block, 1); r != nil {
			b.reads = append(b.reads, r)
			if r.errs[0] == nil {
				held = append(held, r)
			}
		}
	}
	best, err := l.arrange(block, held)
	if err != nil {
		return false, err
	}
	number := l.v.Parts[l.part].Number
	if best == nil {
		for _, r := range held {
			l.found(r.shard, number, block, errContradict)
		}
		l.mu.Lock()
		l.contradict = true
		l.mu.Unlock()
		return true, nil // what reads it may know better, see Reader
	}
	for i, r := range held {
		if best[i] == r.number {
			continue
		}
		l.found(r.shard, number, -1, errMisplaced)
		if r.number = best[i]; best[i] == 0 {
			r.shard.err = errMisplaced
		}
		r.shard.number = r.number
	}
	return false, nil
}

// arrange returns the numbers under which most shards agree, and of such those that
// leave most as they were; nil if there are none, or if nothing tells which of several.
func (l *loader) arrange(block int64, held []*reading) ([]int, error) {
	type arrangement struct {
		numbers []int
		likely  bool
	}
	var all []arrangement
	most := (l.geometry.data + 1) * (maxShards + 1) // M alone always agree
	tries := 0
	for choice := range combinations(len(held), l.geometry.data) {
		if tries++; tries > maxArrangements {
			break
		}
		if err := l.ctx.Err(); err != nil {
			return nil, err
		}
		numbers, agree, likely, err := l.agreement(block, held, choice)
		if err != nil {
			continue // two under one number
		}
		score := agree * (maxShards + 1)
		for i, r := range held {
			if numbers[i] == r.number {
				score++
			}
		}
		if score < most || slices.ContainsFunc(all, func(a arrangement) bool { return slices.Equal(a.numbers, numbers) }) {
			continue
		}
		if score > most {
			all, most = nil, score
		}
		all = append(all, arrangement{numbers, likely})
	}
	if len(all) > 1 {
		// A code of two and two looks the same from both sides. What is at the start of
		// encrypted data tells them apart.
		all = slices.DeleteFunc(all, func(a arrangement) bool { return !a.likely })
	}
	if len(all) != 1 {
		return nil, nil
	}
	return all[0].numbers, nil
}

// begins reports whether the bytes at the start of a block are what they must be, where
// that is known.
func (l *loader) begins(block int64, head []byte) bool {
	v := l.v
	_, err := sse.Describe(v.Stored())
	sealed := err == nil
	_, multipart := v.Metadata["X-Minio-Internal-Encrypted-Multipart"]
	_, compressed := v.Metadata["X-Minio-Internal-compression"]
	size := v.Size
	if multipart {
		size = l.geometry.size
	}
	switch {
	case block != 0 || l.part != 0 && !multipart:
		return true
	case sealed:
		return isPackage(head, size)
	case compressed:
		return bytes.HasPrefix(head, []byte("\xff\x06\x00\x00"))
	default:
		return true
	}
}

func unchanged(held []*reading, numbers []int) bool {
	for i, r := range held {
		if numbers[i] != r.number {
			return false
		}
	}
	return true
}

// agreement takes the chosen shards by their numbers and returns which numbers all
// of them must then have, 0 for those that are none, how many have one, and whether the
// data begins as it should.
func (l *loader) agreement(block int64, held []*reading, choice []int) (numbers []int, agree int, likely bool, err error) {
	g := l.geometry
	code, err := l.v.set.d.code(l.v.DataShards, l.v.ParityShards)
	if err != nil {
		return nil, 0, false, err
	}
	pieces := make([][]byte, l.v.DataShards+l.v.ParityShards)
	for _, i := range choice {
		r := held[i]
		if pieces[r.number-1] != nil {
			return nil, 0, false, errMisplaced
		}
		pieces[r.number-1] = r.frame(g, block)[r.hash:]
	}
	for i := range pieces {
		if pieces[i] == nil {
			buf := takeBuffer(g.piece(block))
			defer giveBuffer(buf)
			pieces[i] = buf[:0]
		}
	}
	if err := code.Reconstruct(pieces); err != nil {
		return nil, 0, false, err
	}
	numbers = make([]int, len(held))
	used := make([]bool, len(pieces))
	fits := func(i, n int) bool {
		return !used[n-1] && bytes.Equal(pieces[n-1], held[i].frame(g, block)[held[i].hash:])
	}
	give := func(i, n int) {
		numbers[i], used[n-1] = n, true
		agree++
	}
	for i, r := range held {
		if fits(i, r.number) {
			give(i, r.number)
		}
	}
	for i := range held {
		for n := 1; n <= len(pieces) && numbers[i] == 0; n++ {
			if fits(i, n) {
				give(i, n)
			}
		}
	}
	return numbers, agree, l.begins(block, pieces[0]), nil
}

// combinations yields every choice of m of n.
func combinations(n, m int) func(func([]int) bool) {
	return func(yield func([]int) bool) {
		choice := make([]int, m)
		for i := range choice {
			choice[i] = i
		}
		for {
			if !yield(slices.Clone(choice)) {
				return
			}
			i := m - 1
			for i >= 0 && choice[i] == n-m+i {
				i--
			}
			if i < 0 {
				return
			}
			choice[i]++
			for j := i + 1; j < m; j++ {
				choice[j] = choice[j-1] + 1
			}
		}
	}
}
