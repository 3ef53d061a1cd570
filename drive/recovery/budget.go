package recovery

import (
	"context"
	"sync"

	"github.com/objseal/objseal/drive"
)

// memory is what the versions that are in work may take together; what the walk,
// the report and the runtime take comes on top. One that alone takes more works alone.
const memory = 64 << 20

// A budget is shared by goroutines that come and go; one other goroutine waits
// for room before it starts the next.
type budget struct {
	mu    sync.Mutex
	bytes int64
	jobs  int
	freed chan struct{} // a signal that something was given back
}

func newBudget(bytes int64, jobs int) *budget {
	return &budget{bytes: bytes, jobs: jobs, freed: make(chan struct{}, 1)}
}

// take waits until n bytes and a job are free. n may not be more than all.
func (b *budget) take(ctx context.Context, n int64) error {
	for {
		b.mu.Lock()
		ok := b.bytes >= n && b.jobs > 0
		if ok {
			b.bytes -= n
			b.jobs--
		}
		b.mu.Unlock()
		if ok {
			return context.Cause(ctx)
		}
		select {
		case <-b.freed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (b *budget) give(n int64) {
	b.mu.Lock()
	b.bytes += n
	b.jobs++
	b.mu.Unlock()
	select {
	case b.freed <- struct{}{}:
	default:
	}
}

// versionCost is about what the metadata of a version takes.
const versionCost = 2 << 10

// cost estimates what it takes to read a version: two batches of 4 MiB, or of one
// erasure block, with the parity that may be needed, and some to open it. What is
// held in memory for a VerifiedSink comes on top.
func cost(v *drive.Version, verified bool) int64 {
	const base, batch = 256 << 10, 4 << 20
	size := max(v.Size, 0)
	n := 2 * min(size, max(batch, min(v.BlockSize, memory)))
	if m := int64(v.DataShards); m > 0 && v.ParityShards > 0 {
		n += n / m * int64(min(v.ParityShards, v.DataShards))
	}
	if verified {
		n += min(size, spoolMax)
	}
	return min(base+n, memory)
}
