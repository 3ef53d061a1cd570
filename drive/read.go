package drive

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"

	"github.com/klauspost/reedsolomon"
)

// batchSize is how many stored bytes are read at a time, if a block is not larger.
const batchSize = 4 << 20

// A StoredReader yields stored bytes of a version. Errors stay. It is not safe for
// concurrent use. Until Close, one goroutine may read ahead of it.
type StoredReader struct {
	loader  *loader
	cancel  context.CancelFunc
	batches chan *batch // nil if one batch is all
	done    chan struct{}
	batch   *batch
	err     error
}

// Fetch reads n stored bytes at off, over all parts, as they came out of the erasure
// code: it is an sse.Fetch. The reader is a *StoredReader.
//
// Errors, here and of the reader: ErrDamaged, ErrTiered, ErrDeleted; ErrUnsupported; io.ErrUnexpectedEOF
// if the version has fewer bytes.
func (v *Version) Fetch(ctx context.Context, off, n int64) (io.ReadCloser, error) {
	r, err := v.fetch(ctx, off, n)
	if err != nil {
		return nil, err
	}
	return r, nil
}

func (v *Version) fetch(ctx context.Context, off, n int64) (*StoredReader, error) {
	switch {
	case v.broken != nil:
		return nil, v.broken
	case v.Type != ObjectVersion && v.Type != LegacyVersion:
		return nil, ErrDeleted
	case v.Tier != nil && !v.Tier.Restored:
		return nil, ErrTiered
	case off < 0 || n < 0 || off > v.Size || n > v.Size-off:
		return nil, fmt.Errorf("%d stored bytes at %d of %d: %w", n, off, v.Size, io.ErrUnexpectedEOF)
	}
	ctx, cancel := context.WithCancel(ctx)
	r := &StoredReader{loader: &loader{ctx: ctx, v: v, off: off, left: n, part: -1}, cancel: cancel}
	if n > batchSize {
		r.batches, r.done = make(chan *batch), make(chan struct{})
		go r.ahead()
	}
	return r, nil
}

// ahead loads batches until there are no more, or Close.
func (r *StoredReader) ahead() {
	defer close(r.done)
	defer r.loader.close()
	for {
		b := r.loader.next()
		select {
		case r.batches <- b:
		case <-r.loader.ctx.Done():
			b.release()
			return
		}
		if b.err != nil {
			return
		}
	}
}

// next makes the next bytes ready.
func (r *StoredReader) next() {
	if r.batch != nil {
		r.batch.release()
		r.batch = nil
	}
	var b *batch
	if r.batches == nil {
		b = r.loader.next()
	} else {
		select {
		case b = <-r.batches:
		case <-r.loader.ctx.Done():
			r.err = r.loader.ctx.Err()
			return
		}
	}
	r.batch, r.err = b, b.err
}

func (r *StoredReader) Read(p []byte) (n int, err error) {
	for n < len(p) && r.err == nil {
		if r.batch == nil || len(r.batch.pieces) == 0 {
			if n > 0 {
				break // what is there, rather than to wait
			}
			r.next()
			continue
		}
		m := copy(p[n:], r.batch.pieces[0])
		r.batch.advance(m)
		n += m
	}
	if n == 0 && len(p) > 0 {
		return 0, r.err
	}
	return n, nil
}

// WriteTo implements io.WriterTo.
func (r *StoredReader) WriteTo(w io.Writer) (n int64, err error) {
	for r.err == nil {
		if r.batch == nil || len(r.batch.pieces) == 0 {
			r.next()
			continue
		}
		m, err := w.Write(r.batch.pieces[0])
		r.batch.advance(m)
		n += int64(m)
		if err != nil {
			return n, err
		}
	}
	if r.err == io.EOF {
		return n, nil
	}
	return n, r.err
}

// Findings are the bad shards met so far.
func (r *StoredReader) Findings() []Finding { return r.loader.list() }

// Close ends the reading; nothing runs on.
func (r *StoredReader) Close() error {
	r.cancel()
	if r.batches != nil {
		<-r.done
	} else {
		r.loader.close()
	}
	if r.batch != nil {
		r.batch.release()
		r.batch = nil
	}
	if r.err == nil {
		r.err = os.ErrClosed
	}
	return nil
}

// A batch is some blocks of a part, decoded, or the error that ended it all.
type batch struct {
	pieces [][]byte   // in order
	reads  []*reading // whose buffers the pieces are in
	spare  [][]byte   // buffers of what was rebuilt
	err    error
}

func (b *batch) advance(n int) {
	if b.pieces[0] = b.pieces[0][n:]; len(b.pieces[0]) == 0 {
		b.pieces = b.pieces[1:]
	}
}

func (b *batch) release() {
	for _, r := range b.reads {
		r.release()
	}
	for _, buf := range b.spare {
		giveBuffer(buf)
	}
	b.pieces, b.reads, b.spare = nil, nil, nil
}

// loader reads the blocks of a range, batch by batch.
type loader struct {
	ctx       context.Context
	v         *Version
	off, left int64 // in the version; off from the end of the part before the current one
	part      int   // index of the current one, -1 before the first
	geometry  geometry
	shards    []*shard
	proved    bool // the shards of the part are those they are said to be, as far as can be told

	mu         sync.Mutex
	findings   []Finding
	contradict bool // see errContradict
}

func (l *loader) next() *batch {
	for {
		if l.left == 0 {
			return &batch{err: io.EOF}
		}
		if l.part >= 0 && l.off < l.geometry.size {
			break
		}
		l.nextPart()
	}
	if err := l.ctx.Err(); err != nil {
		return &batch{err: err}
	}
	g := l.geometry
	first := l.off / g.block
	perBlock := int64(g.data) * (ceil(g.block, int64(g.data)) + hashSize)
	count := max(1, batchSize/perBlock)
	last := ceil(min(l.off+l.left, g.size), g.block)
	count = min(count, last-first)
	b := &batch{}
	if err := l.load(b, first, count); err != nil {
		b.release()
		if l.v.Tier != nil {
			err = fmt.Errorf("%w: %w", ErrTiered, err)
		}
		b.err = err
		return b
	}
	// Keep what lies in the range.
	drop := l.off - first*g.block
	for drop > 0 {
		n := min(drop, int64(len(b.pieces[0])))
		b.advance(int(n))
		drop -= n
	}
	var have int64
	for i, p := range b.pieces {
		if have+int64(len(p)) >= l.left {
			b.pieces[i] = p[:l.left-have]
			b.pieces = b.pieces[:i+1]
			have = l.left
			break
		}
		have += int64(len(p))
	}
	l.off += have
	l.left -= have
	return b
}

func (l *loader) nextPart() {
	l.close()
	if l.part >= 0 {
		l.off -= l.geometry.size
	}
	l.part++
	l.geometry = geometry{l.v.DataShards, l.v.BlockSize, l.v.Parts[l.part].Size}
	l.shards = nil
	if l.off >= l.geometry.size {
		return
	}
	l.shards = make([]*shard, len(l.v.sources))
	for i := range l.v.sources {
		l.shards[i] = &shard{source: &l.v.sources[i], number: l.v.sources[i].number}
	}
	l.proved = l.v.ParityShards == 0
}

func (l *loader) close() {
	for _, s := range l.shards {
		s.close()
	}
}

// load reads shards of the blocks, more and more of them until each block has M good
// ones, and decodes.
func (l *loader) load(b *batch, first, count int64) error {
	g := l.geometry
	total := l.v.DataShards + l.v.ParityShards
	byNumber := make([][]*reading, count) // by block, then by number - 1
	all := make([]*reading, int(count)*total)
	have := make([]int, count)
	for i := range byNumber {
		byNumber[i] = all[i*total : (i+1)*total]
	}
	candidates := slices.Clone(l.shards)
	slices.SortStableFunc(candidates, func(a, b *shard) int {
		return min(a.bad, 1) - min(b.bad, 1)
	})
	candidates = slices.DeleteFunc(candidates, func(s *shard) bool { return s.err != nil })
	for {
		missing := 0
		for _, n := range have {
			missing = max(missing, g.data-n)
		}
		if l.v.set.d.options.CheckAll {
			missing = len(candidates)
		}
		if missing == 0 {
			break
		}
		if len(candidates) == 0 {
			return l.tooFew(first, have)
		}
		wave := candidates[:min(missing, len(candidates))]
		candidates = candidates[len(wave):]
		reads := make([]*reading, len(wave))
		l.together(wave, func(i int) { reads[i] = l.readShard(wave[i], first, count) })
		for _, r := range reads {
			if r == nil {
				continue
			}
			b.reads = append(b.reads, r)
			for block, err := range r.errs {
				if err == nil && byNumber[block][r.number-1] == nil {
					byNumber[block][r.number-1] = r
					have[block]++
				}
			}
		}
		if err := l.ctx.Err(); err != nil {
			return err
		}
	}
	if !l.proved {
		if right, err := l.prove(b, first, byNumber[0], candidates); err != nil {
			return err
		} else if !right {
			b.release()
			return l.load(b, first, count)
		}
	}
	b.pieces = make([][]byte, 0, int(count)*g.data)
	for i, reads := range byNumber {
		if err := l.decode(b, first+int64(i), reads); err != nil {
			return err
		}
	}
	return nil
}

// together runs f for each shard of the wave, in parallel where drives may have to be
// waited for.
func (l *loader) together(wave []*shard, f func(int)) {
	var wg sync.WaitGroup
	for i := 1; i < len(wave); i++ {
		if wave[i].mem != nil {
			f(i)
			continue
		}
		wg.Go(func() { f(i) })
	}
	f(0)
	wg.Wait()
}

// readShard returns nil if the shard is of no use.
func (l *loader) readShard(s *shard, first, count int64) *reading {
	number := l.v.Parts[l.part].Number
	if !s.opened {
		if s.err = s.open(l.v, number, l.geometry); s.err != nil {
			l.found(s, number, -1, s.err)
			return nil
		}
	}
	r := s.read(l.geometry, first, count)
	for i, err := range r.errs {
		if err == nil {
			continue
		}
		if s.bad++; s.bad <= maxBlockFindings {
			l.found(s, number, first+int64(i), err)
		}
		if s.bad == maxBlockFindings {
			l.found(s, number, -1, fmt.Errorf("%w: so many of its blocks that no more are told", err))
		}
	}
	return r
}

// maxBlockFindings is how many bad blocks of one shard are told one by one.
const maxBlockFindings = 64

func (l *loader) found(s *shard, part int, block int64, err error) {
	f := Finding{Problem: problemOf(err), Drive: s.drive.path, Path: s.where(l.v, part), Bucket: l.v.Bucket, Object: l.v.Object,
		Version: l.v.ID, Part: part, Block: block, Detail: err.Error()}
	l.mu.Lock()
	l.findings = append(l.findings, f)
	l.mu.Unlock()
	l.v.set.d.report(f)
}

// doubtful reports whether nothing told which shards are right.
func (l *loader) doubtful() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.contradict
}

func (l *loader) list() []Finding {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.findings)
}

func (l *loader) tooFew(first int64, have []int) error {
	block := slices.IndexFunc(have, func(n int) bool { return n < l.geometry.data })
	return fmt.Errorf("%w: part %d, block %d: %d good shards of the %d it takes", ErrDamaged, l.v.Parts[l.part].Number, first+int64(block), have[block], l.geometry.data)
}

// decode appends the data of a block to the batch.
func (l *loader) decode(b *batch, block int64, reads []*reading) error {
	g := l.geometry
	pieces := make([][]byte, len(reads))
	whole := true
	for i, r := range reads {
		if r != nil {
			pieces[i] = r.frame(g, block)[r.hash:]
		} else if i < g.data {
			whole = false
		}
	}
	if !whole {
		code, err := l.v.set.d.code(l.v.DataShards, l.v.ParityShards)
		if err != nil {
			return err
		}
		for i := range g.data {
			if pieces[i] == nil {
				buf := takeBuffer(g.piece(block))
				b.spare = append(b.spare, buf)
				pieces[i] = buf[:0]
			}
		}
		if err := code.ReconstructData(pieces); err != nil {
			return fmt.Errorf("%w: part %d, block %d: %w", ErrDamaged, l.v.Parts[l.part].Number, block, err)
		}
	}
	left := g.length(block)
	for _, p := range pieces[:g.data] {
		if n := min(left, int64(len(p))); n > 0 {
			b.pieces = append(b.pieces, p[:n])
			left -= n
		}
	}
	return nil
}

// code returns the erasure code of m data and n parity shards. There are few
// in a deployment, so they are kept; metadata that claims many is served without.
func (d *Deployment) code(m, n int) (reedsolomon.Encoder, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if c, ok := d.codes[[2]int{m, n}]; ok {
		return c, nil
	}
	// Keeping inverted matrices pays for itself, but there are many where many shards are.
	c, err := reedsolomon.New(m, n, reedsolomon.WithInversionCache(m+n <= 16))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if len(d.codes) < 64 {
		d.codes[[2]int{m, n}] = c
	}
	return c, nil
}
