package kes

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/objseal/objseal/kms"
)

// rounds is how often a server is tried before a call gives it up.
const rounds = 3

// leastPatience is how long a server may be silent without being put off for
// it, however short the time is that a caller has: in one try, or in several
// between which it answered nobody.
const leastPatience = time.Second

// randomPause is the pause between two rounds (KES spec section 7.2).
func randomPause() time.Duration {
	return 200*time.Millisecond + rand.N(800*time.Millisecond)
}

// candidate is a server that may answer a call yet.
type candidate struct {
	*endpoint
	from int // the first round that it is in
}

// failover makes a call at the servers that are well, one after the other. So
// one that hangs costs the calls that met it one patience, and no call begun
// later: it is put off, and only a probe, for which nobody waits, or a success
// brings it back. If no server is well there is nothing better to wait for, and
// all are asked.
func (b *Backend) failover(ctx context.Context, c call) error {
	var t tally
	var well, left []candidate
	for _, e := range b.endpoints {
		if e.isWell() {
			well = append(well, candidate{e, 1})
		} else {
			left = append(left, candidate{e, 0})
		}
	}
	if len(well) > 0 {
		for _, s := range left {
			if s.beginProbe() {
				go b.probe(ctx, s.endpoint, c)
			}
		}
	}
	for i, s := range well {
		patience := b.tryTimeout
		if i+1 < len(well) || len(left) > 0 {
			patience = b.patience(ctx)
		}
		err := b.try(ctx, s.endpoint, c, patience)
		if isSettled(ctx, err) {
			return t.answer(c, err)
		}
		t.add(err)
		if isBrief(err) {
			left = append(left, s)
		}
	}
	if len(left) <= 1 || c.op.once {
		return b.inTurn(ctx, left, c, &t)
	}
	return b.race(ctx, left, c, &t)
}

// isSettled reports whether a call is over: answered, or its time has gone.
func isSettled(ctx context.Context, err error) bool {
	return !isServerFailure(err) || ctx.Err() != nil
}

// patience is how long a server may take when there is another one: a caller
// who has no time for two whole tries still gets two.
func (b *Backend) patience(ctx context.Context) time.Duration {
	if deadline, ok := ctx.Deadline(); ok {
		if half := time.Until(deadline) / 2; half >= leastPatience {
			return min(half, b.tryTimeout)
		}
	}
	return b.tryTimeout
}

// inTurn asks one server after the other, in rounds with a pause between. Who
// fails in a way that will not be over in a second leaves.
func (b *Backend) inTurn(ctx context.Context, list []candidate, c call, t *tally) error {
	for round := range rounds {
		if len(list) == 0 || round > 0 && !wait(ctx, b.pause()) {
			break
		}
		var again []candidate
		for _, s := range list {
			if s.from > round {
				again = append(again, s)
				continue
			}
			err := b.try(ctx, s.endpoint, c, b.tryTimeout)
			if isSettled(ctx, err) {
				return t.answer(c, err)
			}
			t.add(err)
			if isBrief(err) {
				again = append(again, s)
			}
		}
		list = again
	}
	return t.err
}

// raceStep is how long each server has before the next one is asked too.
const raceStep = 250 * time.Millisecond

// race asks all servers, the next one when the one before was silent for a
// moment or failed, and returns the first answer: one that hangs keeps nobody
// from one that is back, and one that is back at once is not asked in vain with
// all others.
func (b *Backend) race(ctx context.Context, list []candidate, c call, t *tally) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	c.out = firstOnly(c.out)
	type result struct {
		tally
		err error
	}
	results := make(chan result)
	before := *t
	running := 0
	begin := func() {
		if len(list) == 0 {
			return
		}
		s := list[0]
		list = list[1:]
		running++
		go func() {
			r := result{tally: before}
			r.err = b.inTurn(ctx, []candidate{s}, c, &r.tally)
			results <- r
		}()
	}
	begin()
	step := time.NewTicker(raceStep)
	defer step.Stop()
	var won *result
	for running > 0 {
		select {
		case <-step.C:
			begin()
		case r := <-results:
			running--
			switch {
			case won != nil:
			case isServerFailure(r.err):
				t.add(r.err)
				begin()
			default:
				won = &r
				list = nil
				cancel() // the others return at once
			}
		}
	}
	if won != nil {
		return won.err
	}
	return t.err
}

// firstOnly lets one answer through, and gives its verdict to all who are late.
func firstOnly(out func(answer) error) func(answer) error {
	if out == nil {
		return nil
	}
	var mu sync.Mutex
	var answered bool
	var verdict error
	return func(a answer) error {
		mu.Lock()
		defer mu.Unlock()
		if answered {
			clear(a.body)
			return verdict
		}
		verdict = out(a)
		answered = !errors.Is(verdict, errBadAnswer)
		return verdict
	}
}

// probe finds out whether a server that was put off is back, by the very
// request that another server is answering: one that hangs with its key store
// may well tell its version. Its answer is thrown away. It outlives the call by
// one try at most.
func (b *Backend) probe(ctx context.Context, e *endpoint, c call) {
	defer e.endProbe()
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(b.closing(), cancel)()
	if c.op.once {
		c = call{op: opVersion, limit: maxAnswer}
	}
	empty := c.out == nil && c.op != opVersion
	c.out = func(a answer) error {
		if len(a.body) == 0 && !empty {
			return errBadAnswer
		}
		clear(a.body)
		return nil
	}
	b.try(ctx, e, c, b.tryTimeout)
}

// tally is what the tries of a call that failed came to.
type tally struct {
	err  error // the one that tells most
	lost bool  // a try may have reached a server, and its answer did not reach us
}

func (t *tally) add(err error) {
	if t.err == nil || tells(err) >= tells(t.err) {
		t.err = err
	}
	t.lost = t.lost || !wasNeverSent(err)
}

// tells ranks failures: a server that refuses the certificate says more than
// one that says it is unwell, and that more than silence.
func tells(err error) int {
	switch {
	case errors.Is(err, kms.ErrNotPermitted):
		return 2
	case errors.As(err, new(*ResponseError)):
		return 1
	}
	return 0
}

// answer returns the error of the answer that came at last.
func (t *tally) answer(c call, err error) error {
	if t.lost && c.op.once && (errors.Is(err, kms.ErrKeyExists) || errors.Is(err, kms.ErrKeyNotFound)) {
		return fmt.Errorf("%w: %w", err, ErrAnswerLost)
	}
	return err
}

// wait returns false if ctx ended first.
func wait(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
