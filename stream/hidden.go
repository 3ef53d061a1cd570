package stream

import (
	"errors"
	"sync"
)

// A hidden holds what a stream needs up to its end, secrets above all, in memory that
// comes from a pool. Whoever takes one gives it back once, wiped; a stream that is dropped
// halfway leaves it to the collector. It can also be kept for another stream, wiped
// and renewed. The zero hidden is none.
//
// It is behind two pointers because package fmt, given a verb that does not fit a
// pointer (%s, %q, %c …), follows one and prints what it finds.
type hidden[T any] struct {
	p   **memory[T]
	use uint64 // the one that it was taken for
}

type memory[T any] struct {
	self  *memory[T]
	use   uint64 // how often it was given back or renewed
	value T
}

// get returns what h holds. By then that may be the secret of another stream, if h is
// in a copy of a reader or writer that has ended: such a copy goes no further.
func (h hidden[T]) get() *T {
	m := *h.p
	if m.use != h.use {
		panic(givenBack)
	}
	return &m.value
}

const givenBack = "stream: internal error: a copy of a reader or writer that has ended is used"

// renew keeps the memory for another stream: copies of h go no further.
func (h *hidden[T]) renew() {
	(*h.p).use++
	h.use = (*h.p).use
}

func (h hidden[T]) isNone() bool { return h.p == nil }

// pool has the memory of hidden ones.
type pool[T any] struct{ sync.Pool }

func (p *pool[T]) take() hidden[T] {
	m, _ := p.Get().(*memory[T])
	if m == nil {
		m = new(memory[T])
		m.self = m
	}
	return hidden[T]{&m.self, m.use}
}

func (p *pool[T]) give(h hidden[T]) {
	h.get()
	m := *h.p
	m.use++
	p.Put(m)
}

// end sets what h holds to empty and gives it back.
func (p *pool[T]) end(h *hidden[T], empty T) {
	*h.get() = empty
	p.give(*h)
	*h = hidden[T]{}
}

// errInCall is what a stream fails with while one of its calls is under way: one from
// inside that, by its source or destination, must not meet a state that is just being
// changed, or was given back. If a panic ends the call it stays, as nobody knows what was
// read and written then.
var errInCall = errors.New("stream: called by its own source or destination, or after one of them has panicked")

// errNoStream is what the zero reader or writer fails with.
var errNoStream = errors.New("stream: a reader or writer that no function has made")

// enter begins a call of a reader or writer, with its state, unless err says what the call
// has to return. Whoever is back from the call sets err again.
func enter[T any](state hidden[T], err *error) (*T, error) {
	switch {
	case *err != nil:
		return nil, *err
	case state.isNone():
		return nil, errNoStream
	}
	*err = errInCall
	return state.get(), nil
}
