package stream

import (
	"bytes"
	"io"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/objseal/objseal/internal/aead"
)

// This file works on a large stream in batches of packages, on several cores if
// Options.Workers allows it. The caller is one of the workers, all others have ended
// when a call returns, and packages stay in order. A worker reads a batch, seals or
// opens it and writes it itself, so that it stays in the cache of its core; what
// goes from one worker to another is only the turn to read and the turn to write.
// Reading and writing much at once is worth as much as a second core where a system call
// is behind it.

const (
	// Half a MiB stays in the cache of a core. A caller that works alone takes the 2 MiB
	// that make a system call on a file cheapest: a sixth less time for a file on one core,
	// and a fifth more where nothing but memory is copied; on two cores a file takes longer.
	batchPackages = 8
	alonePackages = 32

	// Plaintext and packages of a batch stand in one buffer, the one that is read
	// behind the other: packages are sealed or opened in order, and none of them
	// meets what is still to be read. Ciphertext has its place in a page as it has in
	// the stream: if that is a file from its beginning, the system copies whole pages.
	pageSize = 4 << 10
	batchGap = 18 * pageSize
)

// parallelFrom is how many packages must have been worked on, or be known to come,
// before more than one worker pays: waking a goroutine on another core takes as long
// as sealing some megabytes, or one with crypto/cipher. Tests change it.
var parallelFrom = struct{ fast, generic int64 }{64, 16}

func pays(n int64, k *aead.Key) bool {
	if k.Kernel() == aead.Generic {
		return n >= parallelFrom.generic
	}
	return n >= parallelFrom.fast
}

// spreads tells whether a call that has begun with package number first goes on with
// several workers.
func (s *sealer) spreads(first uint64) bool {
	return s.workers > 0 && s.next < MaxPackages && pays(int64(s.next-first), s.key.get())
}

// expanded is the key of a stream that has been opened so far.
func (o *opener) expanded() *aead.Key {
	k, _ := o.suite.aead(o.cipher)
	return k
}

func (o *opener) spreads(first uint64) bool {
	return o.workers > 0 && o.version == version20 && !o.ended && pays(int64(o.next-first), o.expanded())
}

// together runs work on n goroutines, of which this is one, and returns when all
// have ended. A panic in one of them becomes one of the caller; so does
// runtime.Goexit, which tests call in the middle of a Read or Write.
func together(n int, work func()) {
	var others sync.WaitGroup
	var thrown atomic.Pointer[any]
	var exited atomic.Bool
	guarded := func() {
		returned := false
		defer func() {
			if v := recover(); v != nil {
				thrown.CompareAndSwap(nil, &v)
			} else if !returned {
				exited.Store(true)
			}
		}()
		work()
		returned = true
	}
	for range n - 1 {
		others.Go(guarded)
	}
	defer func() {
		others.Wait()
		if v := thrown.Load(); v != nil {
			panic(*v)
		}
		if exited.Load() {
			runtime.Goexit()
		}
	}()
	guarded()
}

// each calls work for the numbers 0 to n-1, on several goroutines. Once it has failed
// for one no later one is begun, but all earlier ones are; each returns the error of
// the lowest.
func each(workers int, n int64, work func(i int64) error) error {
	var (
		next   atomic.Int64
		failed atomic.Bool
		mu     sync.Mutex
		lowest = n
		err    error
	)
	together(int(min(int64(workers), n)), func() {
		for !failed.Load() {
			i := next.Add(1) - 1
			if i >= n {
				return
			}
			if e := work(i); e != nil {
				failed.Store(true)
				mu.Lock()
				if i < lowest {
					lowest, err = i, e
				}
				mu.Unlock()
			}
		}
	})
	return err
}

// A batch is what one worker has in hand.
type batch struct {
	buf    *[]byte
	most   int // packages that buf has room for
	n      int // packages in it
	at     int // where they begin
	sealer sealer
	opener opener
	good   int   // packages that could be opened
	err    error // of the one behind them
}

// row returns where number k of a row of packages or payloads stands, size bytes each.
func (b *batch) row(at, k, size int) []byte { return (*b.buf)[at+k*size : at+(k+1)*size] }

// A batchPool has the buffers of batches of so many packages.
type batchPool struct {
	packages int
	buffers  sync.Pool
}

var (
	sharedBatches = batchPool{packages: batchPackages}
	aloneBatches  = batchPool{packages: alonePackages}
)

func (p *batchPool) take() *[]byte {
	if buf, ok := p.buffers.Get().(*[]byte); ok {
		return buf
	}
	buf := make([]byte, batchGap+p.packages*PackageSize+pageSize)
	return &buf
}

// soon tries for about as long as a batch takes, and then waits: a goroutine that has
// gone to sleep may take longer to wake than it would have had to wait.
func soon(try func() bool, wait func()) {
	for range 500 {
		if try() {
			return
		}
		runtime.Gosched()
	}
	wait()
}

// inOrder runs read, work and write for one batch after the other, until read
// returns false. read is called by one worker at a time; so is write, for every
// batch that was read, and in that order.
func inOrder(workers int, read func(*batch) bool, work, write func(*batch)) {
	pool := &sharedBatches
	if workers == 1 {
		pool = &aloneBatches
	}
	var (
		reading, writing sync.Mutex
		turn             = sync.NewCond(&writing)
		begun            int64
		written          atomic.Int64 // by whoever has writing
		ended, broken    bool
	)
	next := func(b *batch) (number int64, ok bool) {
		soon(reading.TryLock, reading.Lock)
		defer reading.Unlock()
		if ended {
			return 0, false
		}
		if b.buf == nil {
			b.buf, b.most = pool.take(), pool.packages
		}
		ended = true // it stays true if read panics
		ended = !read(b)
		begun++
		return begun - 1, !ended
	}
	inTurn := func(b *batch, number int64) {
		soon(func() bool { return written.Load() == number }, func() {})
		writing.Lock()
		defer writing.Unlock()
		for written.Load() != number && !broken {
			turn.Wait()
		}
		if !broken {
			write(b)
			written.Add(1)
			turn.Broadcast()
		}
	}
	together(workers, func() {
		var b batch
		panics := true
		defer func() {
			if panics { // nobody waits for this worker, or goes on
				reading.Lock()
				ended = true
				reading.Unlock()
				writing.Lock()
				broken = true
				turn.Broadcast()
				writing.Unlock()
			}
			if b.buf != nil {
				clear(*b.buf)
				pool.buffers.Put(b.buf)
			}
		}()
		for number, ok := next(&b); ok; number, ok = next(&b) {
			work(&b)
			inTurn(&b, number)
		}
		panics = false
	})
}

// A delivery writes to a destination, and keeps what it cannot write.
type delivery struct {
	dst     io.Writer
	written int64
	rest    []byte
	err     error        // of dst
	stop    *atomic.Bool // set then
}

func (d *delivery) take(b []byte) {
	if d.err == nil && len(b) > 0 {
		var n int
		n, d.err = writeAll(d.dst, b)
		d.written += int64(n)
		b = b[n:]
	}
	if d.err != nil {
		d.stop.Store(true)
		d.rest = append(d.rest, b...)
	}
}

// sealAll seals what src gives as long as no package is the stream's final one; what
// remains is put back to src. ahead is the byte of plaintext that comes first. If dst
// fails, rest is what was sealed and not written.
func (s *sealer) sealAll(src *source, ahead byte, dst io.Writer, workers int) (written int64, rest []byte, err error) {
	first := []byte{ahead} // what was read and is in no package yet
	var stop atomic.Bool
	read := func(b *batch) bool {
		if stop.Load() {
			return false
		}
		b.n = int(min(uint64(b.most), MaxPackages-s.next))
		room := (*b.buf)[batchGap : batchGap+b.n*PayloadSize+1]
		n := src.fill(room, copy(room, first), len(room))
		if n < len(room) { // of n bytes, the last ones are for the final package
			b.n = (n - 1) / PayloadSize
			stop.Store(true)
		}
		first = append(first[:0], room[b.n*PayloadSize:n]...)
		b.at = int(s.offset % pageSize)
		b.sealer = *s
		s.skip(b.n)
		return b.n > 0
	}
	work := func(b *batch) {
		for k := range b.n {
			// It cannot fail: read has looked at the number.
			b.sealer.seal(b.row(b.at, k, PackageSize), b.row(batchGap, k, PayloadSize), false)
		}
	}
	out := delivery{dst: dst, stop: &stop}
	inOrder(workers, read, work, func(b *batch) { out.take((*b.buf)[b.at:][:b.n*PackageSize]) })
	src.putBack(first)
	return out.written, out.rest, out.err
}

// openAll opens what src gives, most packages at most, as long as they are full and
// not the stream's final one; what remains is put back to src. o has seen the
// stream's first package. If dst fails with err, rest is what was opened and not
// written; tampered is the error of the first package behind that.
func (o *opener) openAll(src *source, most int64, dst io.Writer, workers int) (written int64, rest []byte, err, tampered error) {
	var stop atomic.Bool
	read := func(b *batch) bool {
		if stop.Load() {
			return false
		}
		b.at = batchGap + int(o.offset%pageSize)
		in := (*b.buf)[b.at:][:min(int64(b.most), most)*PackageSize]
		in = in[:src.fill(in, 0, len(in))]
		b.n = 0
		b.opener = *o
		for {
			pkg := in[b.n*PackageSize:]
			if len(pkg) < PackageSize || !o.isInner(pkg) {
				break
			}
			b.n++
			o.skip(1)
		}
		if remains := in[b.n*PackageSize:]; len(remains) > 0 || len(in) == 0 {
			src.putBack(bytes.Clone(remains))
			stop.Store(true)
		}
		most -= int64(b.n)
		return b.n > 0
	}
	work := func(b *batch) {
		for b.good = 0; b.good < b.n; b.good++ {
			if b.err = b.opener.open(b.row(0, b.good, PayloadSize), b.row(b.at, b.good, PackageSize)); b.err != nil {
				stop.Store(true)
				return
			}
		}
	}
	out := delivery{dst: dst, stop: &stop}
	inOrder(workers, read, work, func(b *batch) {
		if tampered == nil { // else what is behind that is nobody's
			out.take((*b.buf)[:b.good*PayloadSize])
			tampered = b.err
		}
	})
	return out.written, out.rest, out.err, tampered
}
